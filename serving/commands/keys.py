"""``fenzhen keys``: what programs show to be let in."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from data.errors import InputError
from serving.commands.groups import argument, command, group, option, say
from serving.roles import ROLE_ZH, Role, roles_help

if TYPE_CHECKING:
    from rich.table import Table

    from serving.store.access import AccessStore

app = group("密钥：业务系统等程序凭它调用接口。")
_SPAN = re.compile(r"(\d{1,5})([dh])")


@command(app, "create")
def create(
    name: Annotated[str, argument("给谁用，便于日后辨认，如 县热线平台。")],
    role: Annotated[Role, option(help=roles_help(Role))],
    source: Annotated[str | None, option(help="来源系统，如 hotline；角色为 case-system 时必填。")] = None,
    department: Annotated[str | None, option(help="部门编号；角色为 department 时必填。")] = None,
    expires: Annotated[str, option(help="多久后失效：天数加 d，或小时数加 h。")] = "365d",
    per_minute: Annotated[int, option(help="任一分钟内最多几次请求。")] = 600,
) -> None:
    """发放一个密钥。密钥本身只在此时输出一次（标准输出），服务只存它的摘要。"""
    from serving.commands.opened import opened_access, operator
    from serving.store.keys import KeyOrder

    order = KeyOrder(
        name=name, role=role, source=source, department=department, per_minute=per_minute, lifetime=_span(expires)
    )
    with opened_access() as access:
        made = access.keys.create(operator(), order)
    say(f"已发放密钥 {made.key.id}（{ROLE_ZH[role]}），有效期至 {made.key.expires_at.astimezone():%Y-%m-%d %H:%M}。")
    say("密钥只显示这一次，请立即存放妥当：")
    print(made.secret)


@command(app, "list")
def list_all() -> None:
    """列出所有密钥，包括已过期和已吊销的。不显示密钥本身。"""
    from rich.console import Console

    from serving.commands.opened import opened_access

    with opened_access() as access:
        Console().print(_table(access))


@command(app, "revoke")
def revoke(id: Annotated[str, argument("密钥的编号，见 fenzhen keys list。")]) -> None:
    """吊销一个密钥，几秒之内在各处失效。"""
    from serving.commands.opened import opened_access, operator

    with opened_access() as access:
        key = access.keys.revoke(operator(), id)
    say(f"已吊销密钥 {key.id}（{key.name}）。")


def _span(text: str) -> timedelta:
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise InputError("lifetime_invalid", f"不认识的有效期“{text[:40]}”，应如 365d（天）或 12h（小时）。")
    return timedelta(**{"days" if found[2] == "d" else "hours": int(found[1])})


def _table(access: "AccessStore") -> "Table":
    from rich.table import Table

    from serving.store.keys import KeyStatus

    status_zh = {KeyStatus.ACTIVE: "有效", KeyStatus.EXPIRED: "已过期", KeyStatus.REVOKED: "已吊销"}
    keys = access.keys.list()
    table = Table(title=f"{len(keys)} 个密钥", title_justify="left")
    table.add_column("编号", no_wrap=True)
    for heading in ("名称", "角色", "来源或部门"):
        table.add_column(heading, overflow="fold")
    table.add_column("每分钟", justify="right")
    for heading in ("有效期至", "状态"):
        table.add_column(heading)
    for key in keys:
        scope = access.taxonomy.department(key.department).zh if key.department else key.source or ""
        until = f"{key.expires_at.astimezone():%Y-%m-%d %H:%M}"
        status = status_zh[access.keys.status(key)]
        table.add_row(key.id, key.name, ROLE_ZH[key.role], scope, str(key.per_minute), until, status)
    return table
