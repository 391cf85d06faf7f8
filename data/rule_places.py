"""Where each rule and guard stands in the policy folder, for messages that send a person to the line."""

import re
from pathlib import Path

from data.policy_reader import SHIPPED

_ENTRY = re.compile(r"\s*-\s*\{?\s*id:\s*['\"]?([\w-]+)")


def rule_places(folder: Path | None = None) -> dict[str, str]:
    """Id of a rule or guard to ``rules/FILE:LINE``; ``folder`` is the deployment's own policy folder, if any."""
    own = folder / "rules" if folder else None
    rules = own if own and own.is_dir() else SHIPPED / "rules"
    return {
        entry[1]: f"rules/{path.name}:{number}"
        for path in sorted(rules.glob("*.yaml"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (entry := _ENTRY.match(line))
    }
