"""Loading of the policy folder: every file validated, ids cross-checked, all faults listed at once."""

import os
from pathlib import Path

from data.errors import Fault, PolicyError
from data.policy_checks import check_automation, check_deadlines, check_directory, check_rules, check_taxonomy
from data.policy_reader import PolicyReader, Source
from data.policy_schema import Automation, ClausesFile, DeadlinesFile, DirectoryFile, Policy, RulesFile, TaxonomyFile
from data.taxonomy import Card, Department, MisconductType, Taxonomy


def load_policy(folder: Path | None = None) -> Policy:
    """The policy of ``folder`` (default: ``FENZHEN_POLICY_DIR``), completed by the shipped files.

    Raises PolicyError with every fault of every file.
    """
    loader = _reader(folder)
    taxonomy = _taxonomy(loader)
    clauses = loader.read(loader.path("clauses.yaml"), "clauses.yaml", ClausesFile)
    directory = loader.read(loader.path("directory.yaml"), "directory.yaml", DirectoryFile)
    deadlines = loader.read(loader.path("deadlines.yaml"), "deadlines.yaml", DeadlinesFile)
    automation = loader.read(loader.path("automation.yaml"), "automation.yaml", Automation)
    rules = _rule_files(loader)
    if taxonomy:
        check_taxonomy(loader, *taxonomy, clauses)
        check_rules(loader, taxonomy[0], rules)
        check_directory(loader, taxonomy[0], directory)
        check_deadlines(loader, taxonomy[0], deadlines)
        check_automation(loader, taxonomy[0], automation)
    words = _words(loader)
    if loader.faults or not (taxonomy and clauses and directory and deadlines and automation):
        raise PolicyError(loader.faults)
    return Policy(
        taxonomy=taxonomy[0],
        rules=tuple(rule for file, _ in rules for rule in file.rules),
        guards=tuple(guard for file, _ in rules for guard in file.guards),
        clauses={clause.id: clause for clause in clauses[0].clauses},
        plans={plan: entry.zh for plan, entry in clauses[0].plans.items()},
        units={unit.id: unit for unit in directory[0].units},
        card_deadlines=deadlines[0].cards,
        procedures=deadlines[0].procedures,
        dictionary=tuple(words),
        automation=automation[0],
    )


def load_taxonomy(folder: Path | None = None) -> Taxonomy:
    """The taxonomy of the same folder alone, for what needs no rules; not checked against the other files.

    Raises PolicyError with every fault of ``taxonomy.yaml``.
    """
    loader = _reader(folder)
    found = _taxonomy(loader)
    if found is None:
        raise PolicyError(loader.faults)
    return found[0]


def _reader(folder: Path | None) -> PolicyReader:
    if folder is None and os.environ.get("FENZHEN_POLICY_DIR"):
        folder = Path(os.environ["FENZHEN_POLICY_DIR"])
    if folder and not folder.is_dir():
        raise PolicyError([Fault(file=str(folder), line=None, what="不是文件夹（FENZHEN_POLICY_DIR）")])
    return PolicyReader(folder)


def _words(loader: PolicyReader) -> list[str]:
    try:
        return loader.path("dictionary.txt").read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        loader.faults.append(Fault(file="dictionary.txt", line=None, what=f"读不了（应为 UTF-8 编码的文本）：{error}"))
        return []


def _taxonomy(loader: PolicyReader) -> tuple[Taxonomy, Source] | None:
    found = loader.read(loader.path("taxonomy.yaml"), "taxonomy.yaml", TaxonomyFile)
    if found is None:
        return None
    file, source = found
    types = file.misconduct.types.items()
    return Taxonomy(
        version=file.version,
        families={key: value["zh"] for key, value in file.misconduct.families.items()},
        misconduct=tuple(MisconductType(id=key, **entry.model_dump()) for key, entry in types),
        departments=tuple(Department(id=k, zh=d.zh, aliases=d.aliases) for k, d in file.departments.items()),
        cards=tuple(
            sorted((Card(id=k, **c.model_dump()) for k, c in file.urgency.items()), key=lambda card: card.rank)
        ),
    ), source


def _rule_files(loader: PolicyReader) -> list[tuple[RulesFile, Source]]:
    folder = loader.path("rules")
    read = (loader.read(path, f"rules/{path.name}", RulesFile) for path in sorted(folder.glob("*.yaml")))
    return [found for found in read if found]
