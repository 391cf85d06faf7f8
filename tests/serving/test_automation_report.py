"""The table that tells an operator what may go unchecked."""

import io

from rich.console import Console

from data.policy_schema import Policy
from models.assurance import Assurance, Guarantee, TaskAssurance
from serving.automation_report import render_automation


def test_the_choice_of_the_policy_is_marked(policy: Policy) -> None:
    rows = tuple(Guarantee(risk=risk, threshold=1 - risk, share=10 * risk) for risk in (0.02, 0.03, 0.05))
    task = TaskAssurance(guarantees=rows, plausible=0.1)
    assurance = Assurance(
        confidence=0.95, coverage=0.95, familiar=-9.0, misconduct=task, department=task, urgency=task
    )  # fmt: skip
    file = io.StringIO()
    Console(file=file, width=200).print(render_automation(assurance, policy.automation, policy.taxonomy))
    lines = file.getvalue().splitlines()
    marked = [line for line in lines if "automation.yaml" in line]
    assert len(marked) == 3 and "责任部门" in marked[1] and "3%" in marked[1] and "30%" in marked[1]
    assert not any("保证不了" in line for line in lines)
