"""Who is told of events: an address, the types it wants to hear of, and the secret its messages are signed with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from sqlalchemy import Select, func, insert, select, update

from data.errors import InputError
from serving.errors import Conflict, Missing
from serving.event_types import EventType, Failure
from serving.signatures import new_secret, signing_key
from serving.store.database import Database
from serving.store.ids import is_id, new_id
from serving.store.keyring import Keyring
from serving.store.outbox import DeliveryStatus, lock
from serving.store.schema import deliveries, subscriptions
from serving.store.scopes import check_source

LONGEST_URL = 2000
MOST = 20  # enabled subscriptions of one source; as many of every source
NO_SUBSCRIPTION = "没有这个编号的订阅。"
WRONG_URL = f"接收地址 url 应为 http:// 或 https:// 开头的完整地址，不超过 {LONGEST_URL} 个字符，不含账号、密码和 #。"

_GIVEN_UP = {"status": DeliveryStatus.DEAD.value, "answered": Failure.DISABLED.value, "claimed_until": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOrder:
    """What subscription is wanted. ``types`` empty: every type there is today; ``source`` None: of every source."""

    url: str
    types: tuple[EventType, ...] = ()
    source: str | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A subscription without its secret; how many of its messages wait, and how many were given up."""

    id: str
    url: str
    types: tuple[EventType, ...]
    source: str | None
    created_at: datetime
    disabled_at: datetime | None
    waiting: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionWithSecret:
    """A subscription and the secret its messages are signed with, which is shown once."""

    subscription: Subscription
    secret: str


class SubscriptionStore:
    """The subscriptions of a database. ``source`` bounds what a caller may see and do; None bounds nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, actor: str, order: SubscriptionOrder) -> SubscriptionWithSecret:
        """A new subscription. Raises InputError for a wrong address, source or secret, Conflict if there are too many.

        The address may be an internal one, as case systems are; what it answers is never shown but for the status.
        """
        url, secret = check_url(order.url), new_secret() if order.secret is None else order.secret
        signing_key(secret)
        if order.source is not None:
            check_source(order.source)
        id, types = new_id(), order.types or tuple(EventType)
        with self._database.writing(actor) as writing:
            others = select(func.count()).where(
                subscriptions.c.disabled_at.is_(None), subscriptions.c.source.is_not_distinct_from(order.source)
            )
            if writing.connection.execute(others).scalar_one() >= MOST:
                raise Conflict(f"已有 {MOST} 个订阅，请先停用不用的。", code="too_many_subscriptions")
            row = {
                "id": id,
                "url": url,
                "secret": writing.keyring.encrypt(secret.encode("ascii"), _context(id)),
                "types": [type.value for type in EventType if type in types],
                "source": order.source,
                "created_at": writing.now,
                "disabled_at": None,
            }
            writing.connection.execute(insert(subscriptions).values(row))
            writing.record("subscription.create", subscriptions, id, row, _told(row))
        return SubscriptionWithSecret(subscription=_subscription(row), secret=secret)

    def list(self, source: str | None = None) -> tuple[Subscription, ...]:
        """Every subscription ever made, the newest first."""
        found = _counted().order_by(subscriptions.c.created_at.desc(), subscriptions.c.id)
        if source is not None:
            found = found.where(subscriptions.c.source == source)
        with self._database.reading() as connection:
            return tuple(_subscription(row) for row in connection.execute(found).mappings())

    def find(self, id: str, source: str | None = None) -> SubscriptionWithSecret:
        """One subscription with its secret, to send with. Raises Missing, StoreError for a secret that was changed."""
        with self._database.reading() as connection:
            row = connection.execute(_one(id, source)).mappings().first()
        if row is None:
            raise Missing(NO_SUBSCRIPTION)
        secret = subscription_secret(self._database.keyring, id, row["secret"])
        return SubscriptionWithSecret(subscription=_subscription(row), secret=secret)

    def disable(self, actor: str, id: str, *, source: str | None = None, why: str = "asked") -> Subscription:
        """Tell this subscriber nothing any more, not even what waits; nothing new for one disabled before.

        Raises Missing.
        """
        waiting = deliveries.c.subscription_id == id, deliveries.c.status == DeliveryStatus.WAITING.value
        with self._database.writing(actor) as writing:
            found = writing.connection.execute(_one(id, source)).mappings().first()
            if found is None:
                raise Missing(NO_SUBSCRIPTION)
            row = dict(found)
            if row["disabled_at"] is None:
                row["disabled_at"] = writing.now
                change = update(subscriptions).where(subscriptions.c.id == id)
                writing.connection.execute(change.values(disabled_at=writing.now))
                lock(writing.connection, *waiting)
                given_up = {
                    "status": DeliveryStatus.DEAD.value,
                    "answered": Failure.DISABLED.value,
                    "claimed_until": None,
                }
                writing.connection.execute(update(deliveries).where(*waiting).values(given_up))
                writing.record("subscription.disable", subscriptions, id, row, {**_told(row), "why": why})
        return _subscription(row)


def check_url(url: str) -> str:
    """``url`` if messages can be sent there; raises InputError url_invalid."""
    try:
        parsed = httpx.URL(url)
        host = parsed.host
    except (httpx.InvalidURL, UnicodeError):
        raise InputError("url_invalid", WRONG_URL) from None
    sane = url.isprintable() and " " not in url and len(url) <= LONGEST_URL
    port = parsed.port is None or 0 < parsed.port < 65536
    whole = parsed.scheme in {"http", "https"} and host and "%" not in host and port
    if not sane or not whole or parsed.userinfo or "#" in url or "\\" in url:
        raise InputError("url_invalid", WRONG_URL)
    return url


def subscription_secret(keyring: Keyring, id: str, cipher: bytes) -> str:
    """The secret as it was shown; raises StoreError if what is stored was changed."""
    return keyring.decrypt(cipher, _context(id)).decode("ascii")


def _context(id: str) -> str:
    return f"subscriptions.secret:{id}"


def _told(row: Mapping[Any, Any]) -> dict[str, Any]:
    """What the audit trail says of a subscription: of the address the host, as the rest may hold a token."""
    return {"host": httpx.URL(row["url"]).host, "types": row["types"], "source": row["source"]}


def _one(id: str, source: str | None) -> Select[Any]:
    if not is_id(id):
        raise Missing(NO_SUBSCRIPTION)
    found = select(subscriptions).where(subscriptions.c.id == id)
    return found if source is None else found.where(subscriptions.c.source == source)


def _counted() -> Select[Any]:
    counts = [
        select(func.count())
        .where(deliveries.c.subscription_id == subscriptions.c.id, deliveries.c.status == status.value)
        .scalar_subquery()
        .label(status.value)
        for status in (DeliveryStatus.WAITING, DeliveryStatus.DEAD)
    ]
    return select(subscriptions, *counts)


def _subscription(row: Mapping[Any, Any]) -> Subscription:
    """The subscription in a row, with the counts if it has them."""
    return Subscription(
        id=row["id"],
        url=row["url"],
        types=tuple(map(EventType, row["types"])),
        source=row["source"],
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
        waiting=row.get(DeliveryStatus.WAITING.value, 0),
        dead=row.get(DeliveryStatus.DEAD.value, 0),
    )
