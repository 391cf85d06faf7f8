"""The decision: complaints in, three tags with their evidence out. Training evaluates it, serving and batch call it."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from data.complaint import Complaint
from data.policy_files import load_policy
from data.policy_schema import Policy
from data.taxonomy import OTHER_DEPARTMENT
from data.text import Span
from models.answer import DepartmentTag, MisconductTag, Triage, UrgencyTag, Versions
from models.bundle import STARTER, Bundle, load_bundle
from models.calibration import Fusion, Signals, Vector, card_probabilities, sigmoid, softmax
from models.domain import familiarity
from models.evidence import EvidenceFinder
from models.lexical import citizen_text, claims
from models.pooling import Logits, pool, silence
from models.review import Reviewer, without_model
from models.rules import RuleEngine, RuleMatch
from models.signals import gather
from models.tokens import TokenisedComplaint
from models.units import UnitFinder, UnitMention
from models.windows import scores_of

CANDIDATES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What rules and model see in one complaint, before anything is decided. ``claimed`` (W, types + 1) are the n-gram
    scores of the pairs of clauses ``claims``."""

    complaint: Complaint
    tokens: TokenisedComplaint
    logits: Logits
    matches: tuple[RuleMatch, ...]
    mentions: tuple[UnitMention, ...]
    claims: tuple[Span, ...]
    claimed: Vector
    misconduct: Signals
    alleged: Signals
    department: Signals
    urgency: Signals
    familiarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Probabilities:
    """Of one complaint. Shapes: ``misconduct`` (types,), ``department`` (departments,), ``urgency`` (cards,)."""

    misconduct: Vector
    alleged: float
    department: Vector
    urgency: Vector


class Triager:
    """Decides. ``fusion`` replaces the bundle's, for measuring what each source adds."""

    def __init__(self, policy: Policy, bundle: Bundle, fusion: Fusion | None = None) -> None:
        self.policy, self.taxonomy, self.bundle = policy, policy.taxonomy, bundle
        self.fusion = fusion or bundle.fusion
        self.reviewer = Reviewer(bundle.assurance, bundle.windowing, policy)
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

    def triage_without_encoder(self, complaints: Sequence[Complaint]) -> list[Triage]:
        """As `triage`, by rules and n-grams, where the encoder cannot run: marked degraded, never automatic."""
        sizes = {
            "types": len(self.taxonomy.misconduct),
            "departments": len(self.taxonomy.departments),
            "steps": len(self.taxonomy.cards) - 1,
        }
        found = []
        for complaint in complaints:
            tokens = self.bundle.tokenizer.tokenise(complaint)
            reading = self._reading(complaint, tokens, silence(len(tokens.clauses), **sizes))
            decided = self._deaf.decide(reading)
            found.append(replace(decided, review=without_model(decided.review), degraded=True))
        return found

    @cached_property
    def _deaf(self) -> "Triager":
        """The same triager, deciding without the encoder."""
        other = copy(self)
        other.fusion = self.bundle.fallback
        return other

    def read(self, complaints: Sequence[Complaint]) -> list[Reading]:
        """Run model and rules over the complaints, in batches of windows of similar length."""
        tokens = [self.bundle.tokenizer.tokenise(complaint) for complaint in complaints]
        windows = [self.bundle.tokenizer.collate([one], self.bundle.windowing) for one in tokens]
        sizes = {"types": len(self.taxonomy.misconduct), "departments": len(self.taxonomy.departments)}
        scores = scores_of(windows, self.bundle.token_scores)
        logits = (pool(some, batch, **sizes)[0] for some, batch in zip(scores, windows, strict=True))
        return [self._reading(*each) for each in zip(complaints, tokens, logits, strict=True)]

    def _reading(self, complaint: Complaint, tokens: TokenisedComplaint, logits: Logits) -> Reading:
        matches = self.rules.match(complaint, tokens.text)
        mentions = self.units.find(tokens.text)
        lexical = self.bundle.lexical.scores(citizen_text(complaint, tokens.text))
        places = claims(complaint, tokens.text)
        claimed = self.bundle.claims.all_scores([tokens.text.text[span.start : span.end] for span in places])
        signals = gather(self.taxonomy, logits, lexical, claimed, matches, mentions)
        return Reading(
            complaint=complaint,
            tokens=tokens,
            logits=logits,
            matches=tuple(matches),
            mentions=tuple(mentions),
            claims=tuple(places),
            claimed=claimed,
            misconduct=signals.misconduct,
            alleged=signals.alleged,
            department=signals.department,
            urgency=signals.urgency,
            familiarity=familiarity(tokens.text.text, signals.department, self.taxonomy),
        )

    def probabilities(self, reading: Reading) -> Probabilities:
        """Fuse the signals of every task."""
        department = softmax(self.fusion.department.logits(reading.department))
        if reading.familiarity == float("-inf"):  # not Chinese: nothing to go by, so all alike but for "other"
            department = 1.0 + (np.array(self.taxonomy.department_ids) == OTHER_DEPARTMENT)
            department /= department.sum()
        return Probabilities(
            misconduct=sigmoid(self.fusion.misconduct.logits(reading.misconduct)),
            alleged=float(sigmoid(self.fusion.alleged.logits(reading.alleged))[0]),
            department=department,
            urgency=card_probabilities(sigmoid(self.fusion.urgency.logits(reading.urgency))),
        )

    def decide(self, reading: Reading) -> Triage:
        """Fuse, compare with the thresholds, gather the evidence, and say how far to rely on it."""
        found = self.probabilities(reading)
        types = self._types(reading, found)
        best, *others = (int(index) for index in np.argsort(-found.department, kind="stable"))
        rank = self._rank(found)
        misconduct = self._misconduct(reading, found, types)
        department = self._department(reading, found, best, others)
        urgency = UrgencyTag(
            card=self.taxonomy.card_ids[rank],
            probability=float(found.urgency[rank]),
            evidence=self.evidence.urgency(reading, rank),
        )
        return Triage(
            id=reading.complaint.id,
            misconduct=misconduct,
            alleged=found.alleged,
            department=department,
            urgency=urgency,
            review=self.reviewer.review(reading, found, misconduct, department, urgency),
            versions=self.versions,
        )

    def _types(self, reading: Reading, found: Probabilities) -> list[int]:
        """The types alleged, the likeliest first: those above their threshold, at least one where anything is alleged
        for certain enough, none where not; never any in a text of another kind."""
        task, gate = self.fusion.misconduct, self.fusion.alleged.thresholds
        if found.alleged < gate[0] or self.reviewer.is_foreign(reading):
            return []
        chosen = np.flatnonzero(found.misconduct >= task.thresholds).tolist()
        if not chosen and found.alleged >= gate[1]:
            chosen = [int(found.misconduct.argmax())]
        return sorted(chosen, key=lambda index: -found.misconduct[index])

    def _rank(self, found: Probabilities) -> int:
        above = 1 - np.cumsum(found.urgency)[:-1]
        reached = np.flatnonzero(above >= self.fusion.urgency.thresholds)
        return int(reached[-1]) + 1 if len(reached) else 0

    def _misconduct(self, reading: Reading, found: Probabilities, types: Sequence[int]) -> tuple[MisconductTag, ...]:
        return tuple(
            MisconductTag(
                type=self.taxonomy.misconduct_ids[index],
                probability=float(found.misconduct[index]),
                evidence=self.evidence.misconduct(reading, index),
            )
            for index in types
        )

    def _department(self, reading: Reading, found: Probabilities, best: int, others: Sequence[int]) -> DepartmentTag:
        ids, probabilities = self.taxonomy.department_ids, found.department
        named = [mention.unit for mention in reading.mentions if mention.unit.department == ids[best]]
        return DepartmentTag(
            id=ids[best],
            probability=float(probabilities[best]),
            evidence=self.evidence.department(reading, best),
            unit=named[0].id if named else None,
            assisting=tuple(ids[i] for i in others if probabilities[i] >= self.fusion.assisting),
            candidates=tuple((ids[index], float(probabilities[index])) for index in others[:CANDIDATES]),
        )
