"""One message to one receiver: a signed POST within bounds, and what the receiver made of it."""

import asyncio
import json
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self

import httpx

from serving.cloud_events import MEDIA_TYPE, CloudEventJson, trial
from serving.event_types import Failure
from serving.signatures import signed_headers, signing_key
from serving.store.subscriptions import SubscriptionWithSecret
from serving.version import program_version

MOST_READ = 4096  # bytes of an answer: enough to keep the connection after a short one


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a receiver answered: an HTTP status, or why there was none."""

    status: int = 0
    failure: Failure | None = None

    @property
    def delivered(self) -> bool:
        return 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """The receiver wants to hear nothing any more."""
        return self.status == 410

    def __str__(self) -> str:
        return self.failure.value if self.failure else f"HTTP {self.status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many seconds a receiver may take: to be connected, to send each byte of the answer, and for everything."""

    connect: float = 5.0
    read: float = 10.0
    whole: float = 15.0


class Sender:
    """Sends messages; many at once. An async context manager.

    It goes straight to the address, internal ones included: no proxy of the environment, no redirect, no cookie. Of
    certificates it trusts those that the system trusts, so that an authority of one's own can be added there.
    """

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "_client" in self.__dict__:
            await self._client.aclose()

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        """Made with the first message: reading certificates takes a while, which a starting server has not."""
        return httpx.AsyncClient(
            verify=ssl.create_default_context(),
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=httpx.Timeout(self._patience.read, connect=self._patience.connect, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            headers={"User-Agent": f"fenzhen/{program_version()}", "Content-Type": MEDIA_TYPE},
        )

    async def post(self, url: str, secret: str, event: CloudEventJson, at: datetime) -> Answer:
        """Send ``event``, signed at this moment. Nothing of the answer is kept but its status."""
        body = json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
        headers = signed_headers(signing_key(secret), event["id"], int(at.timestamp()), body)
        client, status = self._client, 0
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(asyncio.timeout(self._patience.whole))
                response = await stack.enter_async_context(client.stream("POST", url, content=body, headers=headers))
                status = response.status_code
                await _read_some(response)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            if not status:
                return Answer(failure=_failure(error))
        return Answer(status=status)


async def _read_some(response: httpx.Response) -> None:
    read = 0
    async for chunk in response.aiter_raw():
        read += len(chunk)
        if read > MOST_READ:
            return


def _failure(error: Exception) -> Failure:
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return Failure.TIMED_OUT
    return Failure.NOT_CONNECTED if isinstance(error, httpx.ConnectError) else Failure.NO_ANSWER


def try_out(found: SubscriptionWithSecret, patience: Patience | None = None) -> Answer:
    """Send a trial message to a subscriber and wait for its answer; for a thread without an event loop."""

    async def send() -> Answer:
        now = datetime.now(UTC)
        async with Sender(patience) as sender:
            return await sender.post(found.subscription.url, found.secret, trial(found.subscription, now), now)

    return asyncio.run(send())
