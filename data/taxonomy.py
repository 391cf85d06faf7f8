"""The only place that knows label ids, their order, families and names; read from ``taxonomy.yaml``."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

OTHER_DEPARTMENT = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class MisconductType:
    """One of the misconduct types. ``discipline`` marks those of the discipline channel."""

    id: str
    zh: str
    family: str
    basis: tuple[str, ...]
    means: str
    means_not: str = ""
    discipline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Department:
    """A responsible department and the words it is also called by."""

    id: str
    zh: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """An urgency card; ``rank`` rises with urgency."""

    id: str
    zh: str
    rank: int
    means: str


@dataclass(frozen=True, kw_only=True)
class Taxonomy:
    """Three dimensions: misconduct (multi-label), department (single label), urgency (ordinal)."""

    version: int
    families: dict[str, str]
    misconduct: tuple[MisconductType, ...]
    departments: tuple[Department, ...]
    cards: tuple[Card, ...]

    @cached_property
    def misconduct_ids(self) -> tuple[str, ...]:
        return tuple(t.id for t in self.misconduct)

    @cached_property
    def department_ids(self) -> tuple[str, ...]:
        return tuple(d.id for d in self.departments)

    @cached_property
    def card_ids(self) -> tuple[str, ...]:
        """In order of rank, the least urgent first."""
        return tuple(c.id for c in self.cards)

    @cached_property
    def ids(self) -> dict[str, tuple[str, ...]]:
        """The labels of each dimension, in order."""
        return {"misconduct": self.misconduct_ids, "department": self.department_ids, "urgency": self.card_ids}

    @property
    def outputs(self) -> int:
        """How many numbers decide a complaint: one a type, one for any, one a department, one a step of cards."""
        return len(self.misconduct) + 1 + len(self.departments) + len(self.cards) - 1

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids and their order alone: names and aliases may change without touching a model."""
        return hashlib.sha256(json.dumps(self.ids, sort_keys=True).encode()).hexdigest()

    @property
    def label(self) -> str:
        """How answers name this taxonomy: version and the head of its digest."""
        return f"{self.version}-{self.digest[:12]}"

    def misconduct_type(self, type_id: str) -> MisconductType:
        return self._types[type_id]

    def department(self, department_id: str) -> Department:
        return self._departments[department_id]

    @cached_property
    def _types(self) -> dict[str, MisconductType]:
        return {t.id: t for t in self.misconduct}

    @cached_property
    def _departments(self) -> dict[str, Department]:
        return {d.id: d for d in self.departments}
