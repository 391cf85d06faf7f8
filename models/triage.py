"""The decision: complaints in, three tags with their evidence out. Training evaluates it, serving and batch call it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.complaint import Complaint
from data.policy_files import load_policy
from data.policy_schema import Policy
from data.taxonomy import OTHER_DEPARTMENT
from models.bundle import STARTER, Bundle, load_bundle
from models.calibration import Fusion, Signals, Vector, card_probabilities, sigmoid, softmax
from models.evidence import Evidence, EvidenceFinder
from models.lexical import citizen_text
from models.pooling import Logits, pool
from models.rules import RuleEngine, RuleMatch
from models.tokens import TokenisedComplaint
from models.units import UnitFinder, UnitMention

BATCH_TOKENS = 4096
CANDIDATES = 2
STRENGTHS = ("strong", "medium", "weak")


@dataclass(frozen=True, slots=True, kw_only=True)
class MisconductTag:
    """One alleged type."""

    type: str
    probability: float
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DepartmentTag:
    """The responsible department, the next candidates, the concrete unit if named, and who must act too."""

    id: str
    probability: float
    evidence: tuple[Evidence, ...]
    unit: str | None
    assisting: tuple[str, ...]
    candidates: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UrgencyTag:
    """The card."""

    card: str
    probability: float
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What decided."""

    bundle: str
    taxonomy: str
    rules: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Triage:
    """The answer for one complaint."""

    id: str
    misconduct: tuple[MisconductTag, ...]
    department: DepartmentTag
    urgency: UrgencyTag
    versions: Versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What rules and model see in one complaint, before anything is decided."""

    complaint: Complaint
    tokens: TokenisedComplaint
    logits: Logits
    matches: tuple[RuleMatch, ...]
    mentions: tuple[UnitMention, ...]
    misconduct: Signals
    department: Signals
    urgency: Signals


class Triager:
    """Decides. ``fusion`` replaces the bundle's, for measuring what each source adds."""

    def __init__(self, policy: Policy, bundle: Bundle, fusion: Fusion | None = None) -> None:
        self.policy, self.taxonomy, self.bundle = policy, policy.taxonomy, bundle
        self.fusion = fusion or bundle.fusion
        self.rules = RuleEngine(policy)
        self.units = UnitFinder(policy)
        self.evidence = EvidenceFinder(policy.taxonomy)
        self.versions = Versions(bundle=bundle.version, taxonomy=policy.taxonomy.label, rules=policy.rules_digest[:12])

    @classmethod
    def load(cls, bundle: Path = STARTER, policy: Policy | None = None, threads: int = 0) -> "Triager":
        """A triager from files; raises PolicyError or BundleError."""
        policy = policy or load_policy()
        return cls(policy, load_bundle(bundle, policy.taxonomy, threads))

    def triage(self, complaints: Sequence[Complaint]) -> list[Triage]:
        """One triage for each complaint, in order."""
        return [self.decide(reading) for reading in self.read(complaints)]

    def read(self, complaints: Sequence[Complaint]) -> list[Reading]:
        """Run model and rules over the complaints, in batches of similar length."""
        tokens = [self.bundle.tokenizer.tokenise(complaint) for complaint in complaints]
        order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
        logits: dict[int, Logits] = {}
        for chosen in _batches(order, tokens, self.bundle.windowing.length):
            batch = self.bundle.tokenizer.collate([tokens[index] for index in chosen], self.bundle.windowing)
            scores = self.bundle.token_scores(batch)
            sizes = {"types": len(self.taxonomy.misconduct), "departments": len(self.taxonomy.departments)}
            logits.update(zip(chosen, pool(scores, batch, **sizes), strict=True))
        return [self._reading(complaint, tokens[i], logits[i]) for i, complaint in enumerate(complaints)]

    def _reading(self, complaint: Complaint, tokens: TokenisedComplaint, logits: Logits) -> Reading:
        matches = self.rules.match(complaint, tokens.text)
        mentions = self.units.find(tokens.text)
        scores = self.bundle.lexical.scores(citizen_text(complaint, tokens.text))
        ends = np.cumsum([len(self.taxonomy.misconduct), len(self.taxonomy.departments)])
        types, departments, steps = np.split(scores, ends)
        return Reading(
            complaint=complaint,
            tokens=tokens,
            logits=logits,
            matches=tuple(matches),
            mentions=tuple(mentions),
            misconduct={"model": _vector(logits.misconduct), "lexical": types, **self._fired("misconduct", matches)},
            department={"lexical": departments, **self._department_signals(tokens, logits, matches, mentions)},
            urgency={"model": _vector(logits.urgency), "lexical": steps, **self._urgency_fired(matches)},
        )

    def _fired(self, dimension: str, matches: Iterable[RuleMatch]) -> dict[str, Vector]:
        ids = {"misconduct": self.taxonomy.misconduct_ids, "department": self.taxonomy.department_ids}[dimension]
        fired = {strength: np.zeros(len(ids)) for strength in STRENGTHS}
        for match in matches:
            name, label = match.rule.supports.label
            if name == dimension:
                fired[match.rule.strength][ids.index(label)] = 1
        return fired

    def _department_signals(
        self, tokens: TokenisedComplaint, logits: Logits, matches: Sequence[RuleMatch], mentions: Sequence[UnitMention]
    ) -> Signals:
        fired = self._fired("department", matches)
        for mention in mentions:
            fired["strong"][self.taxonomy.department_ids.index(mention.unit.department)] = 1
        model = _vector(logits.department)
        if not tokens.clauses:
            model[self.taxonomy.department_ids.index(OTHER_DEPARTMENT)] = 10.0
        return {"model": model, **fired}

    def _urgency_fired(self, matches: Iterable[RuleMatch]) -> dict[str, Vector]:
        steps = len(self.taxonomy.cards) - 1
        fired = {f"{card}_{strength}": np.zeros(steps) for card in self.taxonomy.card_ids[1:] for strength in STRENGTHS}
        for match in matches:
            name, card = match.rule.supports.label
            if name == "urgency":
                fired[f"{card}_{match.rule.strength}"][:] = 1
        return fired

    def decide(self, reading: Reading) -> Triage:
        """Fuse, compare with the thresholds, and gather the evidence."""
        return Triage(
            id=reading.complaint.id,
            misconduct=self._misconduct(reading),
            department=self._department(reading),
            urgency=self._urgency(reading),
            versions=self.versions,
        )

    def _misconduct(self, reading: Reading) -> tuple[MisconductTag, ...]:
        probabilities = sigmoid(self.fusion.misconduct.logits(reading.misconduct))
        chosen = np.flatnonzero(probabilities >= self.fusion.misconduct.thresholds)
        return tuple(
            MisconductTag(
                type=self.taxonomy.misconduct_ids[index],
                probability=float(probabilities[index]),
                evidence=self.evidence.misconduct(reading, int(index)),
            )
            for index in sorted(chosen, key=lambda i: -probabilities[i])
        )

    def _department(self, reading: Reading) -> DepartmentTag:
        probabilities = softmax(self.fusion.department.logits(reading.department))
        ids = self.taxonomy.department_ids
        best, *others = (int(index) for index in np.argsort(-probabilities, kind="stable"))
        named = [mention.unit for mention in reading.mentions if mention.unit.department == ids[best]]
        return DepartmentTag(
            id=ids[best],
            probability=float(probabilities[best]),
            evidence=self.evidence.department(reading, best),
            unit=named[0].id if named else None,
            assisting=tuple(ids[i] for i in others if probabilities[i] >= self.fusion.assisting),
            candidates=tuple((ids[index], float(probabilities[index])) for index in others[:CANDIDATES]),
        )

    def _urgency(self, reading: Reading) -> UrgencyTag:
        probabilities = card_probabilities(sigmoid(self.fusion.urgency.logits(reading.urgency)))
        above = 1 - np.cumsum(probabilities)[:-1]
        reached = np.flatnonzero(above >= self.fusion.urgency.thresholds)
        rank = int(reached[-1]) + 1 if len(reached) else 0
        return UrgencyTag(
            card=self.taxonomy.card_ids[rank],
            probability=float(probabilities[rank]),
            evidence=self.evidence.urgency(reading, rank),
        )


def _vector(values: np.ndarray) -> Vector:
    return values.astype(np.float64)


def _batches(order: Sequence[int], tokens: Sequence[TokenisedComplaint], window: int) -> Iterable[list[int]]:
    """Runs of ``order`` (shortest first) whose padded size stays within BATCH_TOKENS, at least one complaint each."""
    batch: list[int] = []
    for index in order:
        width = min(len(tokens[index]) + 2, window)
        windows = sum(-(-(len(tokens[i]) + 2) // window) for i in (*batch, index))
        if batch and windows * width > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
