"""``fenzhen accounts``: the people who log in on the page."""

import getpass
import sys
from typing import TYPE_CHECKING, Annotated

from data.errors import InputError
from serving.commands.groups import argument, command, group, option, say
from serving.roles import ROLE_ZH, Role, roles_help

if TYPE_CHECKING:
    from rich.table import Table

    from serving.store.access import AccessStore

app = group("账号：人凭账号和密码在页面登录。")
_ROLES = [role for role in Role if role is not Role.CASE_SYSTEM]


@command(app, "add")
def add(
    name: Annotated[str, argument("账号名，汉字、字母或数字。")],
    role: Annotated[Role, option(help=roles_help(_ROLES))],
    department: Annotated[str | None, option(help="部门编号；角色为 department 时必填。")] = None,
) -> None:
    """添加一个账号。密码在屏幕上输入两次，或从标准输入读一行。"""
    from serving.commands.opened import opened_access, operator

    password = _password()
    with opened_access() as access:
        account = access.accounts.add(operator(), name, password, role=role, department=department)
    say(f"已添加账号 {account.name}（{ROLE_ZH[role]}）。")


@command(app, "list")
def list_all() -> None:
    """列出所有账号。"""
    from rich.console import Console

    from serving.commands.opened import opened_access

    with opened_access() as access:
        Console().print(_table(access))


@command(app, "disable")
def disable(name: Annotated[str, argument("账号名。")]) -> None:
    """停用一个账号，立即结束它的会话。"""
    from serving.commands.opened import opened_access, operator

    with opened_access() as access:
        account = access.accounts.disable(operator(), name)
    say(f"已停用账号 {account.name}。")


@command(app, "enable")
def enable(name: Annotated[str, argument("账号名。")]) -> None:
    """恢复一个停用的账号，密码照旧。"""
    from serving.commands.opened import opened_access, operator

    with opened_access() as access:
        account = access.accounts.enable(operator(), name)
    say(f"已恢复账号 {account.name}。")


@command(app, "password")
def password(name: Annotated[str, argument("账号名。")]) -> None:
    """给账号换一个密码：结束它的所有会话，解除锁定。密码在屏幕上输入两次，或从标准输入读一行。"""
    from serving.commands.opened import opened_access, operator

    new = _password()
    with opened_access() as access:
        account = access.accounts.change_password(operator(), name, new)
    say(f"已更换账号 {account.name} 的密码。")


def _password() -> str:
    """Typed twice by a person, or one line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("密码：")
    if getpass.getpass("再输一次：") != first:
        raise InputError("password_mismatch", "两次输入的密码不同。")
    return first


def _table(access: "AccessStore") -> "Table":
    from rich.table import Table

    from serving.store.accounts import AccountStatus

    status_zh = {AccountStatus.ACTIVE: "正常", AccountStatus.LOCKED: "已锁定", AccountStatus.DISABLED: "已停用"}
    accounts = access.accounts.list()
    table = Table(title=f"{len(accounts)} 个账号", title_justify="left")
    for heading in ("账号", "角色", "部门", "添加于", "状态"):
        table.add_column(heading, overflow="fold")
    for one in accounts:
        department = access.taxonomy.department(one.department).zh if one.department else ""
        added, status = f"{one.created_at.astimezone():%Y-%m-%d}", status_zh[access.accounts.status(one)]
        table.add_row(one.name, ROLE_ZH[one.role], department, added, status)
    return table
