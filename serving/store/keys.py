"""API keys: a secret shown once, of which the digest is stored; scoped, expiring, revocable."""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import insert, select, update

from data.errors import InputError
from data.taxonomy import Taxonomy
from serving.errors import Missing
from serving.roles import Principal, Role
from serving.store.database import Database
from serving.store.ids import is_id, new_id
from serving.store.schema import api_keys
from serving.store.scopes import check_scope, name_of

PREFIX = "fz_"
PER_MINUTE, MOST_PER_MINUTE = 600, 1_000_000
LIFETIME, LONGEST_LIFETIME = timedelta(days=365), timedelta(days=3650)
REMEMBERED = 3.0  # seconds: how long a revocation by another process may go unnoticed
MOST_REMEMBERED = 4096
NO_KEY = "没有这个编号的密钥。"


class KeyStatus(StrEnum):
    """Whether a key works."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOrder:
    """What key is wanted. ``per_minute`` bounds its requests in any minute."""

    name: str
    role: Role
    source: str | None = None
    department: str | None = None
    per_minute: int = PER_MINUTE
    lifetime: timedelta = LIFETIME


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secret."""

    id: str
    name: str
    role: Role
    source: str | None
    department: str | None
    per_minute: int
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None

    def status(self, now: datetime) -> KeyStatus:
        if self.revoked_at is not None:
            return KeyStatus.REVOKED
        return KeyStatus.EXPIRED if now >= self.expires_at else KeyStatus.ACTIVE

    @property
    def principal(self) -> Principal:
        return Principal(actor=f"key:{self.id}", role=self.role, source=self.source, department=self.department)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key at the one moment its secret is known."""

    key: ApiKey
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """What was found for a secret: a key, which may have expired or been revoked, or none; ``at`` in monotonic time."""

    key: ApiKey | None
    at: float


class KeyStore:
    """The keys of a database. Look-ups are remembered for ``REMEMBERED`` seconds in this process."""

    def __init__(
        self,
        database: Database,
        taxonomy: Taxonomy,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._database, self._taxonomy, self._clock, self._monotonic = database, taxonomy, clock, monotonic
        self._remembered: dict[str, LookUp] = {}

    def create(self, actor: str, order: KeyOrder) -> NewKey:
        """A new key; raises InputError for a wrong name, scope, rate or lifetime."""
        _check_order(order)
        check_scope(order.role, order.source, order.department, self._taxonomy)
        secret, now = PREFIX + secrets.token_urlsafe(32), self._clock()
        row: dict[str, Any] = {
            "id": new_id(),
            "name": name_of(order.name),
            "digest": _digest(secret),
            "role": order.role.value,
            "source": order.source,
            "department": order.department,
            "per_minute": order.per_minute,
            "created_at": now,
            "expires_at": now + order.lifetime,
            "revoked_at": None,
        }
        detail = {name: row[name] for name in ("name", "role", "source", "department") if row[name] is not None}
        with self._database.writing(actor) as writing:
            writing.connection.execute(insert(api_keys).values(row))
            writing.record("key.create", api_keys, row["id"], row, detail)
        self._remembered.clear()
        return NewKey(key=_key(row), secret=secret)

    def list(self) -> tuple[ApiKey, ...]:
        """Every key ever made, the newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(select(api_keys).order_by(api_keys.c.created_at.desc(), api_keys.c.id))
            return tuple(_key(row) for row in rows.mappings())

    def revoke(self, actor: str, id: str) -> ApiKey:
        """The key, which from now on works nowhere; nothing new for one revoked before. Raises Missing."""
        if not is_id(id):
            raise Missing(NO_KEY)
        with self._database.writing(actor) as writing:
            found = writing.connection.execute(select(api_keys).where(api_keys.c.id == id)).mappings().first()
            if found is None:
                raise Missing(NO_KEY)
            row = dict(found)
            if row["revoked_at"] is None:
                row["revoked_at"] = self._clock()
                writing.connection.execute(
                    update(api_keys).where(api_keys.c.id == id).values(revoked_at=row["revoked_at"])
                )
                writing.record("key.revoke", api_keys, id, row)
        self._remembered.clear()
        return _key(row)

    def status(self, key: ApiKey) -> KeyStatus:
        """Whether ``key`` works now."""
        return key.status(self._clock())

    def remembered(self, secret: str) -> LookUp | None:
        """The last look-up of ``secret`` if it is recent; costs no database."""
        found = self._remembered.get(_digest(secret))
        return found if found and self._monotonic() - found.at < REMEMBERED else None

    def look_up(self, secret: str) -> LookUp:
        """Asks the database for the key of ``secret`` and remembers the answer."""
        digest, at = _digest(secret), self._monotonic()
        with self._database.reading() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.digest == digest)).mappings().first()
        found = LookUp(key=_key(row) if row else None, at=at)
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = found
        return found


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _key(row: Mapping[Any, Any]) -> ApiKey:
    return ApiKey(
        id=row["id"],
        name=row["name"],
        role=Role(row["role"]),
        source=row["source"],
        department=row["department"],
        per_minute=row["per_minute"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )


def _check_order(order: KeyOrder) -> None:
    if not 1 <= order.per_minute <= MOST_PER_MINUTE:
        raise InputError("per_minute_invalid", f"每分钟请求数 per_minute 应在 1 到 {MOST_PER_MINUTE} 之间。")
    if not timedelta(0) < order.lifetime <= LONGEST_LIFETIME:
        raise InputError("lifetime_invalid", f"有效期应长于 0，不超过 {LONGEST_LIFETIME.days} 天。")
