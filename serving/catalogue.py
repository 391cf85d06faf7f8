"""The JSON of the taxonomy: what every id in an answer stands for."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from data.policy_schema import Clause, Policy
from data.taxonomy import MisconductType
from models.answer import Versions
from serving.wire import VersionsJson, versions_json


class TypeJson(TypedDict):
    """一类问题的定义。"""

    id: str
    zh: str
    family: str
    basis: list[str]
    means: Annotated[str, Field(description="什么算")]
    means_not: Annotated[str, Field(description="什么不算、归哪一类")]
    discipline: Annotated[bool, Field(description="是否属纪检监察渠道")]


class NamedJson(TypedDict):
    """一个编号及其名称。"""

    id: str
    zh: str


class CardJson(TypedDict):
    """一种牌，rank 越大越急。"""

    id: str
    zh: str
    rank: int
    means: str


class ClauseJson(TypedDict):
    """一个条款的要旨（非原文）。"""

    id: str
    plan: str
    plan_zh: str
    heading: str
    zh: str


class TaxonomyJson(TypedDict):
    """全部标签、条款与摘要值。"""

    families: list[NamedJson]
    types: list[TypeJson]
    departments: list[NamedJson]
    cards: list[CardJson]
    clauses: list[ClauseJson]
    versions: VersionsJson
    digests: Annotated[dict[str, str], Field(description="分类体系与规则的 SHA-256")]


def taxonomy_json(policy: Policy, versions: Versions) -> TaxonomyJson:
    """Every label with its wording, the clauses behind the types, and what identifies this taxonomy."""
    taxonomy = policy.taxonomy
    return TaxonomyJson(
        families=[NamedJson(id=id, zh=zh) for id, zh in taxonomy.families.items()],
        types=[_type(kind) for kind in taxonomy.misconduct],
        departments=[NamedJson(id=department.id, zh=department.zh) for department in taxonomy.departments],
        cards=[CardJson(id=card.id, zh=card.zh, rank=card.rank, means=card.means) for card in taxonomy.cards],
        clauses=[_clause(clause, policy) for clause in policy.clauses.values()],
        versions=versions_json(versions),
        digests={"taxonomy": taxonomy.digest, "rules": policy.rules_digest},
    )


def _type(kind: MisconductType) -> TypeJson:
    return TypeJson(
        id=kind.id,
        zh=kind.zh,
        family=kind.family,
        basis=list(kind.basis),
        means=kind.means,
        means_not=kind.means_not,
        discipline=kind.discipline,
    )


def _clause(clause: Clause, policy: Policy) -> ClauseJson:
    return ClauseJson(
        id=clause.id, plan=clause.plan, plan_zh=policy.plans[clause.plan], heading=clause.heading, zh=clause.zh
    )
