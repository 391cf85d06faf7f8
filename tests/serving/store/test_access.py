"""Keys, accounts and sessions on a real database: what works, for how long, and what the audit trail says."""

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import event, select

from data.errors import InputError
from data.taxonomy import Taxonomy
from serving.errors import Conflict, Missing
from serving.roles import Role
from serving.store.access import AccessStore
from serving.store.accounts import AccountStatus
from serving.store.database import Database
from serving.store.keys import KeyOrder, KeyStatus, NewKey
from serving.store.schema import accounts, api_keys, audit, sessions

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
CHEAP = {"time_cost": 1, "memory_cost": 64, "parallelism": 1}
PASSWORD = "correct horse 42"
CASE_SYSTEM = KeyOrder(name="县热线平台", role=Role.CASE_SYSTEM, source="hotline")


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now, self.ticks = NOON, 0.0

    def __call__(self) -> datetime:
        return self.now


class CountingHasher(PasswordHasher):
    """The usual hasher with small parameters, which counts how often it works."""

    runs = 0

    def hash(self, *given: Any, **named: Any) -> str:
        self.runs += 1
        return super().hash(*given, **named)

    def verify(self, *given: Any, **named: Any) -> bool:
        self.runs += 1
        return super().verify(*given, **named)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher(**CHEAP)


@pytest.fixture
def access(database: Database, taxonomy: Taxonomy, clock: Clock, hasher: CountingHasher) -> AccessStore:
    return AccessStore(database, taxonomy, hasher=hasher, clock=clock, monotonic=lambda: clock.ticks)


@pytest.fixture
def person(access: AccessStore) -> str:
    """The name of an account of a reviewer."""
    access.accounts.add("test", "wang", PASSWORD, role=Role.REVIEWER)
    return "wang"


def rows(database: Database, table: Any) -> list[dict[str, Any]]:
    with database.reading() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def trail(database: Database) -> list[tuple[str, str]]:
    """Who did what, in order."""
    return [(row["actor"], row["action"]) for row in sorted(rows(database, audit), key=lambda row: row["seq"])]


# --- keys


def test_a_key_is_found_by_its_secret_of_which_only_the_digest_is_stored(
    access: AccessStore, database: Database
) -> None:
    made = access.keys.create("account:admin", CASE_SYSTEM)
    assert made.secret.startswith("fz_") and len(made.secret) == 46
    found = access.keys.look_up(made.secret).key
    assert found == made.key
    assert found.principal.role is Role.CASE_SYSTEM and found.principal.source == "hotline"
    (row,) = rows(database, api_keys)
    assert row["digest"] == hashlib.sha256(made.secret.encode()).hexdigest()
    stored = str(rows(database, api_keys) + rows(database, audit))
    assert made.secret not in stored and made.secret.removeprefix("fz_") not in stored


def test_an_unknown_secret_finds_nothing(access: AccessStore) -> None:
    access.keys.create("test", CASE_SYSTEM)
    for secret in ("", "fz_", "fz_" + "a" * 43, "\udcff", "\0", "名" * 1000):
        assert access.keys.look_up(secret).key is None


def test_two_keys_never_share_a_secret(access: AccessStore) -> None:
    made = [access.keys.create("test", CASE_SYSTEM) for _ in range(5)]
    assert len({one.secret for one in made}) == len({one.key.id for one in made}) == 5


def test_a_key_expires_at_its_hour(access: AccessStore, clock: Clock) -> None:
    made = access.keys.create("test", KeyOrder(name="k", role=Role.ADMIN, lifetime=DAY))
    clock.now = NOON + DAY - timedelta(microseconds=1)
    assert access.keys.status(made.key) is KeyStatus.ACTIVE
    clock.now = NOON + DAY
    assert access.keys.status(made.key) is KeyStatus.EXPIRED


def test_a_revoked_key_stays_revoked_and_is_recorded_once(
    access: AccessStore, database: Database, clock: Clock
) -> None:
    made = access.keys.create("account:admin", CASE_SYSTEM)
    assert access.keys.look_up(made.secret).key is not None
    revoked = access.keys.revoke("account:admin", made.key.id)
    assert access.keys.remembered(made.secret) is None
    clock.now += DAY
    assert access.keys.revoke("account:other", made.key.id) == revoked
    found = access.keys.look_up(made.secret).key
    assert found is not None and access.keys.status(found) is KeyStatus.REVOKED
    assert trail(database) == [("account:admin", "key.create"), ("account:admin", "key.revoke")]


def test_revoking_an_unknown_key_is_missing(access: AccessStore) -> None:
    for id in ("", "x", "00000000-0000-0000-0000-000000000000", "\0", "'; --"):
        with pytest.raises(Missing):
            access.keys.revoke("test", id)


def test_look_ups_are_remembered_for_seconds_only(
    access: AccessStore, database: Database, taxonomy: Taxonomy, clock: Clock
) -> None:
    made = access.keys.create("test", CASE_SYSTEM)
    assert access.keys.remembered(made.secret) is None
    found = access.keys.look_up(made.secret)
    AccessStore(database, taxonomy).keys.revoke("another process", made.key.id)
    clock.ticks = 2.9
    assert access.keys.remembered(made.secret) == found
    clock.ticks = 3.0
    assert access.keys.remembered(made.secret) is None
    again = access.keys.look_up(made.secret).key
    assert again is not None and access.keys.status(again) is KeyStatus.REVOKED


def test_an_unknown_secret_is_remembered_until_a_key_is_made(access: AccessStore) -> None:
    assert access.keys.look_up("fz_nothing").key is None
    assert access.keys.remembered("fz_nothing") is not None
    access.keys.create("test", CASE_SYSTEM)
    assert access.keys.remembered("fz_nothing") is None


def test_remembering_is_bounded(access: AccessStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.store.keys.MOST_REMEMBERED", 3)
    for number in range(10):
        access.keys.look_up(f"fz_{number}")
    assert sum(access.keys.remembered(f"fz_{number}") is not None for number in range(10)) <= 3
    assert access.keys.remembered("fz_9") is not None


def test_keys_are_listed_newest_first(access: AccessStore, clock: Clock) -> None:
    made: list[NewKey] = []
    for _ in range(3):
        made.append(access.keys.create("test", CASE_SYSTEM))
        clock.now += DAY
    access.keys.revoke("test", made[0].key.id)
    assert [key.id for key in access.keys.list()] == [one.key.id for one in reversed(made)]


WRONG_ORDERS: dict[str, tuple[dict[str, Any], str]] = {
    "case system without source": ({"role": Role.CASE_SYSTEM}, "source_missing"),
    "empty source": ({"role": Role.CASE_SYSTEM, "source": ""}, "source_invalid"),
    "source of other characters": ({"role": Role.CASE_SYSTEM, "source": "a b"}, "source_invalid"),
    "source on another role": ({"role": Role.REVIEWER, "source": "hotline"}, "source_unused"),
    "department without id": ({"role": Role.DEPARTMENT}, "department_missing"),
    "unknown department": ({"role": Role.DEPARTMENT, "department": "moon"}, "department_unknown"),
    "department on another role": ({"role": Role.ADMIN, "department": "commerce"}, "department_unused"),
    "no name": ({"role": Role.ADMIN, "name": " "}, "name_invalid"),
    "long name": ({"role": Role.ADMIN, "name": "长" * 65}, "name_invalid"),
    "name with a control": ({"role": Role.ADMIN, "name": "a\0b"}, "name_invalid"),
    "no requests": ({"role": Role.ADMIN, "per_minute": 0}, "per_minute_invalid"),
    "no time": ({"role": Role.ADMIN, "lifetime": timedelta(0)}, "lifetime_invalid"),
    "too much time": ({"role": Role.ADMIN, "lifetime": 3651 * DAY}, "lifetime_invalid"),
}


def test_a_wrong_order_makes_no_key(access: AccessStore) -> None:
    for why, (wrong, code) in WRONG_ORDERS.items():
        with pytest.raises(InputError) as refused:
            access.keys.create("test", KeyOrder(**{"name": "k", **wrong}))
        assert refused.value.code == code, why
    assert access.keys.list() == ()


def test_a_department_is_one_of_the_taxonomy(access: AccessStore, taxonomy: Taxonomy) -> None:
    department = taxonomy.department_ids[0]
    made = access.keys.create("test", KeyOrder(name="k", role=Role.DEPARTMENT, department=department))
    assert made.key.principal.department == department


# --- accounts


def test_an_account_is_stored_with_argon2id_and_recorded_without_password(
    access: AccessStore, database: Database
) -> None:
    account = access.accounts.add("command:root", " Ｗang.Wei ", PASSWORD, role=Role.SUPERVISOR)
    assert (account.name, account.role) == ("wang.wei", Role.SUPERVISOR)
    (row,) = rows(database, accounts)
    assert row["password"].startswith("$argon2id$")
    assert trail(database) == [("command:root", "account.add")]
    assert PASSWORD not in str(rows(database, audit)) and "argon2" not in str(rows(database, audit))


def test_a_name_is_taken_whatever_its_spelling(access: AccessStore, person: str) -> None:
    with pytest.raises(Conflict) as refused:
        access.accounts.add("test", person.upper(), PASSWORD, role=Role.ADMIN)
    assert refused.value.code == "account_exists"


def test_a_weak_password_is_refused_and_not_repeated(access: AccessStore, person: str) -> None:
    for password in ("", "short", "1" * 20, "abcabcabcabc", "长" * 129):
        with pytest.raises(InputError) as adding:
            access.accounts.add("test", "new", password, role=Role.ADMIN)
        with pytest.raises(InputError) as changing:
            access.accounts.change_password("test", person, password)
        for refused in (adding.value, changing.value):
            assert refused.code == "password_weak"
            assert not password or password not in str(refused)


def test_an_account_of_a_wrong_scope_is_refused(access: AccessStore) -> None:
    for role, department, code in (
        (Role.CASE_SYSTEM, None, "role_unfit"),
        (Role.DEPARTMENT, None, "department_missing"),
        (Role.DEPARTMENT, "moon", "department_unknown"),
        (Role.REVIEWER, "commerce", "department_unused"),
    ):
        with pytest.raises(InputError) as refused:
            access.accounts.add("test", "new", PASSWORD, role=role, department=department)
        assert refused.value.code == code


def test_an_unknown_account_is_missing(access: AccessStore) -> None:
    for asking in (
        lambda: access.accounts.disable("test", "nobody"),
        lambda: access.accounts.enable("test", "nobody"),
        lambda: access.accounts.change_password("test", "nobody", PASSWORD),
    ):
        with pytest.raises(Missing):
            asking()


# --- logging in


def test_a_log_in_gives_a_session_of_which_only_the_digest_is_stored(
    access: AccessStore, database: Database, person: str
) -> None:
    token = access.sessions.log_in("ＷANG ", PASSWORD)
    assert token is not None
    session = access.sessions.find(token)
    assert session is not None
    assert (session.principal.actor, session.principal.role) == ("account:wang", Role.REVIEWER)
    assert session.csrf and session.csrf != token
    assert token not in str(rows(database, sessions))
    assert trail(database)[1:] == [("account:wang", "account.login")]


def test_a_wrong_name_or_password_gives_nothing(access: AccessStore, database: Database, person: str) -> None:
    names = ("wang", "nobody", "", "\0", "'; drop", "x" * 5000, "\udcff")
    for name in names:
        assert access.sessions.log_in(name, "wrong password") is None
    assert trail(database)[1:] == [("stranger", "account.login_failed")] * len(names)
    assert not any(words in str(rows(database, audit)) for words in ("wrong password", "nobody", "drop"))
    assert rows(database, sessions) == []


def test_an_unknown_token_is_no_session(access: AccessStore, database: Database, person: str) -> None:
    access.sessions.log_in(person, PASSWORD)
    for token in ("", "\0", "\udcff", "a" * 43):
        assert access.sessions.find(token) is None
        access.sessions.log_out(token)
    assert len(rows(database, sessions)) == 1


def test_the_work_is_the_same_whether_or_not_the_name_is_known(
    access: AccessStore, database: Database, hasher: CountingHasher, person: str
) -> None:
    access.accounts.add("test", "off", PASSWORD, role=Role.REVIEWER)
    access.accounts.disable("test", "off")

    def work(name: str) -> tuple[int, list[str]]:
        statements: list[str] = []

        def note(_: Any, __: Any, statement: str, *___: Any) -> None:
            statements.append(statement)

        event.listen(database.engine, "before_cursor_execute", note)
        hasher.runs = 0
        assert access.sessions.log_in(name, "wrong password") is None
        event.remove(database.engine, "before_cursor_execute", note)
        return hasher.runs, statements

    known = work(person)
    assert known[0] == 1 and known[1]
    assert work("nobody") == known
    assert work("off") == known


def fail(access: AccessStore, name: str, times: int) -> None:
    for _ in range(times):
        assert access.sessions.log_in(name, "wrong password") is None


def test_five_failures_lock_for_fifteen_minutes(
    access: AccessStore, database: Database, clock: Clock, person: str
) -> None:
    fail(access, person, 5)
    assert trail(database)[-1] == ("stranger", "account.lock")
    (account,) = access.accounts.list()
    assert access.accounts.status(account) is AccountStatus.LOCKED
    clock.now = NOON + timedelta(minutes=14, seconds=59)
    assert access.sessions.log_in(person, PASSWORD) is None
    clock.now = NOON + timedelta(minutes=15)
    assert access.sessions.log_in(person, PASSWORD) is not None
    assert access.accounts.status(account) is AccountStatus.ACTIVE


def test_after_a_lock_five_more_are_allowed_and_guesses_do_not_prolong_it(
    access: AccessStore, clock: Clock, person: str
) -> None:
    fail(access, person, 5)
    clock.now += timedelta(minutes=10)
    fail(access, person, 20)
    clock.now += timedelta(minutes=5)
    fail(access, person, 4)
    assert access.sessions.log_in(person, PASSWORD) is not None


def test_a_success_forgets_the_failures_before_it(access: AccessStore, person: str) -> None:
    for _ in range(3):
        fail(access, person, 4)
        assert access.sessions.log_in(person, PASSWORD) is not None


def test_guesses_at_once_get_no_more_than_five(access: AccessStore, database: Database, person: str) -> None:
    start = threading.Barrier(8)

    def guess(_: int) -> None:
        start.wait()
        access.sessions.log_in(person, "wrong password")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(guess, range(8)))
    assert access.sessions.log_in(person, PASSWORD) is None
    actions = [action for _, action in trail(database)]
    assert actions.count("account.lock") == 1


def test_a_new_password_undoes_a_lock(access: AccessStore, person: str) -> None:
    fail(access, person, 5)
    access.accounts.change_password("test", person, "another horse 42")
    assert access.sessions.log_in(person, PASSWORD) is None
    assert access.sessions.log_in(person, "another horse 42") is not None


def test_a_disabled_account_cannot_log_in_until_enabled(access: AccessStore, person: str) -> None:
    access.accounts.disable("test", person)
    assert access.sessions.log_in(person, PASSWORD) is None
    access.accounts.enable("test", person)
    assert access.sessions.log_in(person, PASSWORD) is not None


def test_a_hash_of_other_parameters_is_renewed_by_the_log_in(
    access: AccessStore, database: Database, taxonomy: Taxonomy, person: str
) -> None:
    (before,) = rows(database, accounts)
    assert "t=1" in before["password"]
    newer = AccessStore(database, taxonomy, hasher=PasswordHasher(**{**CHEAP, "time_cost": 2}))
    assert newer.sessions.log_in(person, "wrong password") is None
    assert rows(database, accounts)[0]["password"] == before["password"]
    assert newer.sessions.log_in(person, PASSWORD) is not None
    (after,) = rows(database, accounts)
    assert "t=2" in after["password"]
    assert newer.sessions.log_in(person, PASSWORD) is not None
    assert rows(database, accounts)[0]["password"] == after["password"]


# --- sessions


@pytest.fixture
def token(access: AccessStore, person: str) -> str:
    token = access.sessions.log_in(person, PASSWORD)
    assert token is not None
    return token


def test_a_session_ends_after_half_an_hour_of_silence(access: AccessStore, clock: Clock, token: str) -> None:
    clock.now = NOON + timedelta(minutes=30)
    assert access.sessions.find(token) is None


def test_a_session_in_use_lives_for_twelve_hours_and_no_longer(access: AccessStore, clock: Clock, token: str) -> None:
    while clock.now < NOON + timedelta(hours=12):
        assert access.sessions.find(token) is not None
        clock.now += timedelta(minutes=29)
    clock.now = NOON + timedelta(hours=12)
    assert access.sessions.find(token) is None


def test_a_busy_session_is_written_once_a_minute_at_most(
    access: AccessStore, database: Database, clock: Clock, token: str
) -> None:
    (begun,) = rows(database, sessions)
    for _ in range(59):
        clock.now += timedelta(seconds=1)
        access.sessions.find(token)
    assert rows(database, sessions) == [begun]
    clock.now += timedelta(seconds=1)
    access.sessions.find(token)
    assert rows(database, sessions)[0]["expires_at"] == NOON + timedelta(minutes=31)


def test_logging_out_ends_the_session_and_no_other(access: AccessStore, database: Database, token: str) -> None:
    other = access.sessions.log_in("wang", PASSWORD)
    assert other is not None
    access.sessions.log_out(token)
    assert access.sessions.find(token) is None
    assert access.sessions.find(other) is not None
    assert trail(database)[-1] == ("account:wang", "account.logout")


@pytest.mark.parametrize("ending", ["change_password", "disable"])
def test_all_sessions_end_with_a_new_password_or_a_disabled_account(
    access: AccessStore, token: str, ending: str
) -> None:
    second = access.sessions.log_in("wang", PASSWORD)
    assert second is not None
    endings: dict[str, Callable[[], object]] = {
        "change_password": lambda: access.accounts.change_password("test", "wang", "another horse 42"),
        "disable": lambda: access.accounts.disable("test", "wang"),
    }
    endings[ending]()
    access.accounts.enable("test", "wang")
    assert access.sessions.find(token) is access.sessions.find(second) is None


def test_a_log_in_ends_the_former_session_and_clears_dead_ones(
    access: AccessStore, database: Database, clock: Clock, token: str
) -> None:
    second = access.sessions.log_in("wang", PASSWORD, former=token)
    assert second is not None and second != token
    assert access.sessions.find(token) is None
    clock.now += timedelta(hours=1)
    access.sessions.log_in("wang", PASSWORD)
    assert len(rows(database, sessions)) == 1
