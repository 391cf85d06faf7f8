"""Accounts of people: added, disabled and given passwords by an administrator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, insert, select, update

from data.errors import InputError
from data.taxonomy import Taxonomy
from serving.errors import Conflict, Missing
from serving.roles import Role
from serving.store.database import Database, Writing
from serving.store.ids import new_id
from serving.store.passwords import Passwords, check_password
from serving.store.schema import accounts, sessions
from serving.store.scopes import check_scope, name_of


class AccountStatus(StrEnum):
    """Whether one can log in."""

    ACTIVE = "active"
    LOCKED = "locked"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account without its password."""

    id: str
    name: str
    role: Role
    department: str | None
    created_at: datetime
    disabled_at: datetime | None
    locked_until: datetime | None

    def status(self, now: datetime) -> AccountStatus:
        if self.disabled_at is not None:
            return AccountStatus.DISABLED
        locked = self.locked_until is not None and now < self.locked_until
        return AccountStatus.LOCKED if locked else AccountStatus.ACTIVE


class AccountStore:
    """The accounts of a database. What shuts an account or changes its password ends all its sessions."""

    def __init__(
        self, database: Database, taxonomy: Taxonomy, passwords: Passwords, clock: Callable[[], datetime]
    ) -> None:
        self._database, self._taxonomy, self._passwords, self._clock = database, taxonomy, passwords, clock

    def add(self, actor: str, name: str, password: str, *, role: Role, department: str | None = None) -> Account:
        """A new account; raises InputError for a wrong name, role, scope or password, Conflict if the name is taken."""
        name = name_of(name)
        if role is Role.CASE_SYSTEM:
            raise InputError("role_unfit", "业务系统没有账号，请用密钥：fenzhen keys create。")
        check_scope(role, None, department, self._taxonomy)
        check_password(password)
        row: dict[str, Any] = {
            "id": new_id(),
            "name": name,
            "password": self._passwords.hash(password),
            "role": role.value,
            "department": department,
            "created_at": self._clock(),
            "disabled_at": None,
            "failures": 0,
            "locked_until": None,
        }
        with self._database.writing(actor) as writing:
            if writing.connection.execute(select(accounts.c.id).where(accounts.c.name == name)).first():
                raise Conflict("已有这个名称的账号。", code="account_exists")
            writing.connection.execute(insert(accounts).values(row))
            writing.record("account.add", accounts, row["id"], row, {"name": name, "role": role.value})
        return account_of(row)

    def list(self) -> tuple[Account, ...]:
        """Every account by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(accounts).order_by(accounts.c.name))
            return tuple(account_of(row) for row in rows.mappings())

    def disable(self, actor: str, name: str) -> Account:
        """The account, which nobody can log in to any more. Raises Missing."""
        with self._database.writing(actor) as writing:
            return self._change(writing, "account.disable", name, {"disabled_at": self._clock()})

    def enable(self, actor: str, name: str) -> Account:
        """The account, which can be used again with its old password. Raises Missing."""
        with self._database.writing(actor) as writing:
            return self._change(writing, "account.enable", name, {"disabled_at": None})

    def change_password(self, actor: str, name: str, password: str) -> Account:
        """The account with a new password, its lock undone; raises InputError for a weak one, Missing."""
        check_password(password)
        values = {"password": self._passwords.hash(password), "failures": 0, "locked_until": None}
        with self._database.writing(actor) as writing:
            return self._change(writing, "account.password", name, values)

    def status(self, account: Account) -> AccountStatus:
        """Whether one can log in with ``account`` now."""
        return account.status(self._clock())

    def _change(self, writing: Writing, action: str, name: str, values: Mapping[str, Any]) -> Account:
        found = writing.connection.execute(select(accounts).where(accounts.c.name == name_of(name))).mappings().first()
        if found is None:
            raise Missing("没有这个名称的账号。")
        row = {**found, **values}
        writing.connection.execute(update(accounts).where(accounts.c.id == row["id"]).values(**values))
        writing.connection.execute(delete(sessions).where(sessions.c.account_id == row["id"]))
        writing.record(action, accounts, row["id"], row)
        return account_of(row)


def account_of(row: Mapping[Any, Any]) -> Account:
    """The account of a row of the table."""
    return Account(
        id=row["id"],
        name=row["name"],
        role=Role(row["role"]),
        department=row["department"],
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
        locked_until=row["locked_until"],
    )
