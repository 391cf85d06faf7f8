"""Sends what the outbox holds, in a thread of its own for as long as the server runs.

Each subscriber has a few places of its own, so a slow one holds up only itself. Nothing is promised about order. What
was sent but not yet noted when the server was killed is sent again once its lease has run out: at least once.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from data.errors import FenzhenError
from serving.cloud_events import cloud_event
from serving.event_types import Failure
from serving.logs import anatomy, log_event
from serving.store.database import Database
from serving.store.deliveries import Claim, Outcome, claim, settle
from serving.store.subscriptions import SubscriptionStore, subscription_secret
from serving.webhook import Answer, Patience, Sender

ACTOR = "deliverer"
PLACES = 8  # messages to one subscriber under way at once
LEASE = timedelta(seconds=60)  # longer than any attempt takes
POLL = 1.0  # seconds after which to look even if nobody woke us: retries, other servers, the command line
LOOK_UPS = 32  # host names looked up at once
Result = TypeVar("Result")
_log = logging.getLogger("fenzhen.webhooks")


class Deliverer:
    """Delivers the outbox of one database. ``clock`` gives the time of day (UTC), ``chance`` spreads the retries."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
        patience: Patience | None = None,
        poll: float = POLL,
    ) -> None:
        self._database, self._clock, self._chance = database, clock, chance
        self._patience, self._poll = patience, poll
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name=ACTOR, daemon=True)
        self._store = ThreadPoolExecutor(1, thread_name_prefix=f"{ACTOR}-store")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._posts: dict[asyncio.Task[Answer], Claim] = {}
        self._done: list[Outcome] = []
        self._gone: set[str] = set()
        self._stopping, self._failing, self._looked = False, False, time.monotonic()

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def wake(self) -> None:
        """Look now, as there is something new to send; from any thread, at any time."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it has stopped
                loop.call_soon_threadsafe(self._woken.set)

    def stop(self) -> None:
        """Begin nothing new, finish what is being sent, note it; returns when that is done."""
        self._stopping = True
        self.wake()
        self._thread.join()
        self._store.shutdown()

    @property
    def silent_seconds(self) -> float:
        """How long ago it last looked for something to send: little, unless the database or the thread is gone."""
        return time.monotonic() - self._looked

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(LOOK_UPS))
        async with Sender(self._patience) as sender:
            while not self._stopping or self._posts:
                self._woken.clear()
                await self._turn(sender)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), self._poll)
                self._collect()
            await self._turn(sender)

    async def _turn(self, sender: Sender) -> None:
        """Note what is done, then begin what is due. What cannot be noted now is kept, and nothing begun meanwhile."""
        try:
            claims = await self._loop_free(self._exchange)
        except (FenzhenError, SQLAlchemyError) as error:
            if not self._failing:
                log_event(_log, logging.WARNING, "webhooks.paused", **anatomy(error))
            self._failing = True
            return
        self._failing, self._looked = False, time.monotonic()
        for one in claims:
            post = asyncio.create_task(self._post(sender, one))
            post.add_done_callback(lambda _: self._woken.set())
            self._posts[post] = one

    async def _loop_free(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._store, work)

    def _exchange(self) -> list[Claim]:
        """What is done goes into the database, what is due comes out."""
        if self._done:
            settle(self._database, self._done, now=self._clock(), chance=self._chance)
            self._done.clear()
        for id in sorted(self._gone):
            SubscriptionStore(self._database).disable(ACTOR, id, why="gone")
            self._gone.discard(id)
        if self._stopping:
            return []
        return claim(self._database, PLACES, LEASE, now=self._clock(), in_flight=self._posts.values())

    async def _post(self, sender: Sender, one: Claim) -> Answer:
        secret = subscription_secret(self._database.keyring, one.subscription_id, one.secret)
        return await sender.post(one.url, secret, cloud_event(one.event), self._clock())

    def _collect(self) -> None:
        """Move finished posts to what is done. An error that nobody foresaw fails one delivery and no other."""
        for post in [post for post in self._posts if post.done()]:
            one, error = self._posts.pop(post), post.exception()
            if error is not None:
                log_event(_log, logging.ERROR, "webhook.failure", event_id=one.event.id, **anatomy(error))
            answer = Answer(failure=Failure.NOT_SENT) if error else post.result()
            outcome = Outcome(claim=one, delivered=answer.delivered, answered=str(answer))
            self._done.append(outcome)
            if answer.gone:
                self._gone.add(one.subscription_id)
            _tell(outcome)


def _tell(outcome: Outcome) -> None:
    """One log line; without the address, which may hold a token."""
    what = "delivered" if outcome.delivered else "dead" if outcome.given_up else "failed"
    log_event(
        _log,
        logging.DEBUG if outcome.delivered else logging.ERROR if outcome.given_up else logging.WARNING,
        f"webhook.{what}",
        event_id=outcome.claim.event.id,
        subscription=outcome.claim.subscription_id,
        attempt=outcome.claim.attempts + 1,
        answered=outcome.answered,
    )
