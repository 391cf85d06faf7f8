"""Who may ask, as stored: keys of programs, accounts and sessions of people."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from anyio import CapacityLimiter
from argon2 import PasswordHasher

from data.taxonomy import Taxonomy
from serving.rates import MovingWindow
from serving.store.accounts import AccountStore
from serving.store.database import Database
from serving.store.keys import KeyStore
from serving.store.passwords import Passwords
from serving.store.sessions import SessionStore


class AccessStore:
    """Keys, accounts and sessions of one database, and what bounds their use in this process: how often each key may
    ask, and that one log-in is judged after the other, since each takes 64 MiB."""

    def __init__(
        self,
        database: Database,
        taxonomy: Taxonomy,
        *,
        hasher: PasswordHasher | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.taxonomy = taxonomy
        self.rates = MovingWindow(monotonic)
        self.log_ins = CapacityLimiter(1)
        self.keys = KeyStore(database, taxonomy, clock, monotonic)
        passwords = Passwords(hasher or PasswordHasher())
        self.accounts = AccountStore(database, taxonomy, passwords, clock)
        self.sessions = SessionStore(database, passwords, clock)
