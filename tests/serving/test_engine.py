"""The engine: everybody gets their own answer, nobody waits for more than they must, a failing model is survived."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from data.complaint import Complaint
from data.transcript import complaint_from_text
from models.answer import Triage
from models.assurance import Level, Reason
from models.bundle import EncoderFailed
from models.triage import Triager
from serving import engine as engine_module
from serving.engine import LONG, MOST_TOGETHER, Engine
from serving.errors import Overloaded, TimedOut
from serving.settings import Settings

TEXT = "窗口让我跑了三趟，每次要的材料都不一样，办一个证拖了两个月。"


def complaints(count: int, text: str = TEXT) -> list[Complaint]:
    return [complaint_from_text(str(number), f"{text}第{number}次。") for number in range(count)]


class Watched(Triager):
    """Notes what is decided together; waits and fails as told."""

    def __init__(self, triager: Triager) -> None:
        super().__init__(triager.policy, triager.bundle)
        self.batches: list[list[str]] = []
        self.pause = 0.0
        self.fault: Exception | None = None
        self.poison, self.poisoned = "", Exception()
        self.inside = self.most = 0
        self._lock = threading.Lock()

    def triage(self, complaints: Sequence[Complaint]) -> list[Triage]:
        with self._lock:
            self.batches.append([complaint.id for complaint in complaints])
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            time.sleep(self.pause)
            if self.fault is not None:
                raise self.fault
            if self.poison and any(self.poison in complaint.text for complaint in complaints):
                raise self.poisoned
            return super().triage(complaints)
        finally:
            with self._lock:
                self.inside -= 1


@pytest.fixture
def watched(triager: Triager) -> Watched:
    return Watched(triager)


def run(watched: Triager, work: Any, **settings: Any) -> Any:
    """``work(engine)`` with a started engine."""

    async def whole() -> Any:
        engine = Engine(watched, Settings(**settings))
        await engine.start()
        try:
            return await work(engine)
        finally:
            await engine.close()

    return asyncio.run(whole())


def test_the_answers_are_those_of_the_triager(watched: Watched, triager: Triager) -> None:
    asked = complaints(50)

    async def work(engine: Engine) -> list[list[Triage]]:
        return await asyncio.gather(*(engine.triage([one]) for one in asked), engine.triage(asked))

    *single, together = run(watched, work)
    expected = triager.triage(asked)
    assert together == expected
    assert [one for (one,) in single] == expected
    assert len(watched.batches) < 60  # not one by one
    assert max(map(len, watched.batches)) <= MOST_TOGETHER
    assert watched.most <= engine_module.WORKERS


def test_a_single_complaint_does_not_wait_for_a_large_request(watched: Watched) -> None:
    watched.pause = 0.01

    async def work(engine: Engine) -> int:
        large = asyncio.create_task(engine.triage(complaints(200)))
        await asyncio.sleep(0.03)
        await engine.triage([complaint_from_text("single", TEXT)])
        done = len(watched.batches)
        assert not large.done()
        await large
        return done

    assert run(watched, work) <= 12


def test_short_ones_do_not_queue_behind_long_ones(watched: Watched) -> None:
    async def work(engine: Engine) -> None:
        watched.pause = 0.05
        long = asyncio.create_task(engine.triage(complaints(8, "长" * LONG)))
        await asyncio.sleep(0.02)
        await engine.triage(complaints(4))
        assert not long.done()
        await long

    run(watched, work)
    assert all(len(batch) == 1 for batch in watched.batches if batch != ["0", "1", "2", "3"])


def test_a_full_queue_says_when_to_come_again(watched: Watched) -> None:
    watched.pause = 0.2

    async def work(engine: Engine) -> None:
        waiting = []
        for count in (16, 16, 10, 10):  # the first two are taken up at once, the others fill the queue
            waiting.append(asyncio.create_task(engine.triage(complaints(count))))
            await asyncio.sleep(0.03)
        with pytest.raises(Overloaded) as refused:
            await engine.triage(complaints(1))
        assert refused.value.retry_after is not None and 1 <= refused.value.retry_after <= 60
        assert [len(found) for found in await asyncio.gather(*waiting)] == [16, 16, 10, 10]

    run(watched, work, queue=20)


def test_what_is_given_up_on_is_not_decided(watched: Watched) -> None:
    watched.pause = 0.2

    async def work(engine: Engine) -> None:
        busy = [asyncio.create_task(engine.triage(complaints(1))) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(TimedOut):
            await engine.triage([complaint_from_text(f"late{number}", TEXT) for number in range(40)])
        assert engine.depth == 0
        await asyncio.gather(*busy, return_exceptions=True)

    run(watched, work, request_seconds=0.1)
    assert sum(id.startswith("late") for batch in watched.batches for id in batch) < 40


def test_closing_answers_everything_accepted(watched: Watched) -> None:
    watched.pause = 0.02

    async def work(engine: Engine) -> list[Any]:
        waiting = [asyncio.create_task(engine.triage(complaints(5))) for _ in range(10)]
        await asyncio.sleep(0.01)
        await engine.close()
        with pytest.raises(Overloaded):
            await engine.triage(complaints(1))
        return await asyncio.gather(*waiting)

    assert [len(found) for found in run(watched, work)] == [5] * 10


def test_a_fault_stays_with_the_complaint_it_arises_from(watched: Watched) -> None:
    watched.poison, watched.poisoned = "毒", ValueError("a fault of ours")
    asked = [complaint_from_text(str(n), "毒" if n == 3 else TEXT) for n in range(8)]

    async def work(engine: Engine) -> list[Any]:
        return await asyncio.gather(*(engine.triage([one]) for one in asked), return_exceptions=True)

    found = run(watched, work)
    assert [type(one) for one in found] == [ValueError if n == 3 else list for n in range(8)]


def test_without_the_encoder_rules_answer_until_it_runs_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "REST", 0.3)
    watched.fault = EncoderFailed("out of memory")

    async def work(engine: Engine) -> None:
        (degraded,) = await engine.triage([complaint_from_text("a", "税务所窗口没人，互相推诿，踢皮球。")])
        assert degraded.degraded and engine.degraded
        assert degraded.review.level is not Level.AUTO
        assert degraded.review.reasons[0] is Reason.DEGRADED
        spans = [span for tag in (*degraded.misconduct, degraded.department) for span in tag.evidence]
        assert spans
        tried = len(watched.batches)
        await engine.triage(complaints(3))
        assert len(watched.batches) == tried  # it rests
        watched.fault = None
        await asyncio.sleep(0.35)
        (whole,) = await engine.triage(complaints(1))
        assert not whole.degraded and not engine.degraded

    run(watched, work)


def test_a_complaint_that_the_encoder_fails_on_degrades_itself_alone(watched: Watched) -> None:
    watched.poison, watched.poisoned = "毒", EncoderFailed("out of memory")
    asked = [complaint_from_text(str(n), "税务所窗口没人，毒" if n == 3 else TEXT) for n in range(8)]

    async def work(engine: Engine) -> list[list[Triage]]:
        found = await asyncio.gather(*(engine.triage([one]) for one in asked))
        assert not engine.degraded
        return found

    assert [one.degraded for (one,) in run(watched, work)] == [n == 3 for n in range(8)]


def test_batches_are_observed(watched: Watched) -> None:
    seen: list[tuple[int, float]] = []

    async def work() -> None:
        engine = Engine(watched, Settings(), lambda count, seconds: seen.append((count, seconds)))
        await engine.start()
        await engine.triage(complaints(20))
        await engine.close()

    asyncio.run(work())
    assert sum(count for count, _ in seen) == 20
    assert all(seconds > 0 for _, seconds in seen)
