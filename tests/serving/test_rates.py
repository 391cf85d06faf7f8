"""A window of a minute that moves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving import rates
from serving.rates import WINDOW, MovingWindow


class Ticks:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_as_many_as_allowed_then_a_wait_until_the_oldest_is_a_minute_old() -> None:
    ticks = Ticks()
    window = MovingWindow(ticks)
    assert [window.wait("a", 3) for _ in range(3)] == [0, 0, 0]
    ticks.now += 20
    assert window.wait("a", 3) == 40
    assert window.wait("b", 3) == 0
    ticks.now += 39.5
    assert window.wait("a", 3) == 0.5
    ticks.now += 0.5
    assert window.wait("a", 3) == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 30), max_size=80), st.integers(1, 10))
def test_no_minute_ever_admits_more_than_allowed(pauses: list[float], most: int) -> None:
    ticks = Ticks()
    window, admitted = MovingWindow(ticks), []
    for pause in pauses:
        ticks.now += pause
        wait = window.wait("a", most)
        assert 0 <= wait <= WINDOW
        if not wait:
            admitted.append(ticks.now)
        recent = [moment for moment in admitted if moment > ticks.now - WINDOW]
        assert len(recent) <= most
        assert wait == 0 or len(recent) == most


def test_silent_names_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_NAMES", 10)
    ticks = Ticks()
    window = MovingWindow(ticks)
    for number in range(10):
        window.wait(str(number), 1)
    ticks.now += WINDOW / 2
    assert window.wait("10", 1) == 0
    assert window.wait("3", 1) > 0
    ticks.now += WINDOW / 2
    assert window.wait("11", 1) == 0
    assert window.wait("10", 1) > 0
    assert window.wait("3", 1) == 0
