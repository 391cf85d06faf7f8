"""How often one may ask: a window of a minute that moves with a monotonic clock, so a clock set back blocks nobody."""

from collections import deque
from collections.abc import Callable

WINDOW = 60.0  # seconds
MOST_NAMES = 10_000


class MovingWindow:
    """Counts per name in this process. To be asked from the event loop alone."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._hits: dict[str, deque[float]] = {}

    def wait(self, name: str, most: int) -> float:
        """0 where ``name`` was admitted, which counts; else the seconds until it may be again. ``most`` per minute."""
        now = self._clock()
        if len(self._hits) >= MOST_NAMES:
            self._forget(now)
        hits = self._hits.setdefault(name, deque())
        while hits and hits[0] <= now - WINDOW:
            hits.popleft()
        if len(hits) >= most:
            return hits[0] + WINDOW - now
        hits.append(now)
        return 0.0

    def _forget(self, now: float) -> None:
        """Drop the names that were silent for the whole window."""
        self._hits = {name: hits for name, hits in self._hits.items() if hits and hits[-1] > now - WINDOW}
