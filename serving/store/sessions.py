"""Logging in, and the sessions that follow: a random token in a cookie, of which the digest is stored.

A session ends 12 hours after the log-in, after 30 minutes of silence, by logging out, or with a new password.
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select, update

from data.errors import InputError
from serving.roles import Principal
from serving.store.accounts import Account, AccountStatus, account_of
from serving.store.database import Database, Writing
from serving.store.passwords import Passwords
from serving.store.schema import accounts, sessions
from serving.store.scopes import name_of

ABSOLUTE, IDLE = timedelta(hours=12), timedelta(minutes=30)
STEP = timedelta(minutes=1)  # how exactly the silence is measured
MOST_FAILURES, LOCKED = 5, timedelta(minutes=15)
STRANGER = "stranger"  # who acts as long as nobody has logged in
NOBODY = "unknown"  # the subject of an audit record where no account has the name that was given


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A person who is logged in."""

    account: Account
    csrf: str

    @property
    def principal(self) -> Principal:
        account = self.account
        return Principal(
            actor=f"account:{account.name}", role=account.role, department=account.department, csrf=self.csrf
        )


class SessionStore:
    """The sessions of a database."""

    def __init__(self, database: Database, passwords: Passwords, clock: Callable[[], datetime]) -> None:
        self._database, self._passwords, self._clock = database, passwords, clock

    def log_in(self, name: str, password: str, *, former: str = "") -> str | None:
        """The token of a new session, in place of the ``former`` one; None for a name or password that is wrong, and
        for an account that is disabled or locked.

        The work is the same in all cases. Five failures in a row lock an account for 15 minutes.
        """
        name = _name(name)
        with self._database.reading() as connection:
            hash = connection.execute(select(accounts.c.password).where(accounts.c.name == name)).scalar()
        right = self._passwords.verify(hash, password)
        kept = self._passwords.hash(password) if right and self._passwords.outdated(str(hash)) else hash
        with self._database.writing(f"account:{name}" if right else STRANGER) as writing:
            attempt = self._attempt(writing, name, hash if right else None)
            change = attempt.change if attempt.why else {**attempt.change, "password": kept}
            writing.connection.execute(update(accounts).where(accounts.c.name == name).values(**change))
            row = {**attempt.row, **change} if attempt.row else {}
            detail = {"why": attempt.why} if attempt.why else {}
            writing.record(attempt.action, accounts, row.get("id", NOBODY), row, detail)
            return None if attempt.why else self._begin(writing, row["id"], former)

    def find(self, token: str) -> Session | None:
        """The living session of ``token``, which lives on; None where there is none."""
        digest, now = _digest(token), self._clock()
        found = select(accounts, sessions.c.csrf, sessions.c.created_at.label("began"), sessions.c.expires_at)
        with self._database.reading() as connection:
            joined = found.join(sessions, sessions.c.account_id == accounts.c.id).where(sessions.c.digest == digest)
            row = connection.execute(joined).mappings().first()
        if row is None or row["disabled_at"] is not None or now >= row["expires_at"]:
            return None
        ends = min(now + IDLE, row["began"] + ABSOLUTE)
        if ends - row["expires_at"] >= STEP:
            with self._database.writing(STRANGER) as writing:
                writing.connection.execute(update(sessions).where(sessions.c.digest == digest).values(expires_at=ends))
        return Session(account=account_of(row), csrf=row["csrf"])

    def log_out(self, token: str) -> None:
        """End the session of ``token``, if there is one."""
        digest = _digest(token)
        found = select(accounts).join(sessions, sessions.c.account_id == accounts.c.id)
        with self._database.reading() as connection:
            row = connection.execute(found.where(sessions.c.digest == digest)).mappings().first()
        if row is not None:
            with self._database.writing(f"account:{row['name']}") as writing:
                writing.connection.execute(delete(sessions).where(sessions.c.digest == digest))
                writing.record("account.logout", accounts, row["id"], row)

    def _attempt(self, writing: Writing, name: str, verified: str | None) -> "_Attempt":
        """Judges a log-in by the account as it is now: another attempt may have locked it since the hash was read."""
        row = writing.connection.execute(select(accounts).where(accounts.c.name == name)).mappings().first()
        now = self._clock()
        if row is None:
            return _Attempt(row=None, change={"failures": 0, "locked_until": None}, why="unknown")
        status = account_of(row).status(now)
        if status is not AccountStatus.ACTIVE:
            same = {"failures": row["failures"], "locked_until": row["locked_until"]}
            return _Attempt(row=row, change=same, why=status)
        if verified == row["password"]:
            return _Attempt(row=row, change={"failures": 0, "locked_until": None}, why="", action="account.login")
        failures = row["failures"] + 1
        if failures < MOST_FAILURES:
            return _Attempt(row=row, change={"failures": failures, "locked_until": None}, why="wrong")
        locked = {"failures": 0, "locked_until": now + LOCKED}
        return _Attempt(row=row, change=locked, why="wrong", action="account.lock")

    def _begin(self, writing: Writing, account: str, former: str) -> str:
        token, now = secrets.token_urlsafe(32), self._clock()
        gone = (sessions.c.digest == _digest(former)) | (sessions.c.expires_at <= now)
        writing.connection.execute(delete(sessions).where(gone))
        row = {
            "digest": _digest(token),
            "account_id": account,
            "csrf": secrets.token_urlsafe(32),
            "created_at": now,
            "expires_at": now + IDLE,
        }
        writing.connection.execute(insert(sessions).values(row))
        return token


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """What an attempt to log in comes to: the account, what changes in its row, why it fails (empty: it does not)."""

    row: Mapping[Any, Any] | None
    change: Mapping[str, Any]
    why: str
    action: str = "account.login_failed"


def _name(text: str) -> str:
    try:
        return name_of(text)
    except InputError:
        return ""


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
