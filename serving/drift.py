"""Drift of what arrives: the latest complaints against what the bundle was calibrated on."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from data.complaint import Complaint
from models.answer import Triage
from models.drift import bins, chance_index, places, reference_of, stability_index
from models.triage import Triager

WINDOW = 2000  # complaints that are compared
FIRST = 1000  # complaints that stand in for the reference of a bundle that has none
LEAST = 200  # complaints below which nothing is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Of one dimension: the population stability index, and what chance alone exceeds once in a hundred times."""

    dimension: str
    index: float
    chance: float


class DriftWatch:
    """Keeps the bins of the latest complaints, nothing else of them. May be called from any thread."""

    def __init__(self, triager: Triager, *, window: int = WINDOW, first: int = FIRST, least: int = LEAST) -> None:
        self._bins = bins(triager.taxonomy)
        self._reference = reference_of(triager.bundle.manifest, triager.taxonomy)
        self.source = "bundle" if self._reference else "first_leads"
        self._window, self._first, self._least = window, first, least
        self._latest: deque[dict[str, tuple[str, ...]]] = deque()
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in self._bins}
        self._lock = Lock()

    @property
    def size(self) -> int:
        """How many complaints are compared at present."""
        return len(self._latest) if self._reference else 0

    def add(self, decided: Sequence[tuple[Complaint, Triage]]) -> None:
        """Take in further complaints; the oldest leave."""
        with self._lock:
            for complaint, triage in decided:
                self._latest.append(places(complaint, triage))
                for name, fallen in self._latest[-1].items():
                    self._counts[name].update(fallen)
                if self._reference is None and len(self._latest) >= self._first:
                    self._reference = self._counts
                    self._counts = {name: Counter() for name in self._bins}
                    self._latest.clear()
                if len(self._latest) > self._window:
                    for name, fallen in self._latest.popleft().items():
                        self._counts[name].subtract(fallen)

    def report(self) -> list[Drift]:
        """The drift of every dimension; nothing while too few complaints have been seen."""
        with self._lock:
            if self._reference is None or len(self._latest) < self._least:
                return []
            return [
                Drift(
                    dimension=name,
                    index=stability_index(self._reference[name], self._counts[name], known),
                    chance=chance_index(len(known), self._reference[name].total(), self._counts[name].total()),
                )
                for name, known in self._bins.items()
            ]
