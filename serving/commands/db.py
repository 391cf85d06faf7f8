"""``fenzhen db``: the tables of the database, moved from revision to revision."""

from typing import Annotated

import typer

from data.errors import InputError
from serving.commands.groups import argument, command, group, option

app = group("数据库：升级、退回，看是哪个版本。")


@command(app)
def upgrade(revision: Annotated[str, argument("升到哪个版本。不写则为程序需要的版本。")] = "head") -> None:
    """建立数据库里的表，或升级到程序需要的版本。已经是这个版本则什么也不做。"""
    from serving.settings import load_settings
    from serving.store import revisions

    url = load_settings().database
    before = revisions.revision_of(url)
    revisions.upgrade(url, revision)
    after = revisions.revision_of(url)
    print(f"数据库已是版本 {after}" if before == after else f"数据库已从版本 {before or '空'} 升级到 {after}")


@command(app)
def downgrade(
    revision: Annotated[str, argument("退到哪个版本；base 则删去所有的表。")],
    yes: Annotated[bool, option("--yes", help="确定要退回。不写则什么也不做。")] = False,
) -> None:
    """退回较早的版本。那个版本没有的列和表，连同其中的内容，全部删除。"""
    from serving.settings import load_settings
    from serving.store import revisions

    if not yes:
        raise InputError("not_confirmed", "退回会删除数据，不能恢复。请先备份，确定要退回再加 --yes。")
    url = load_settings().database
    before = revisions.revision_of(url)
    revisions.downgrade(url, revision)
    print(f"数据库已从版本 {before or '空'} 退回到 {revisions.revision_of(url) or '空'}")


@command(app)
def revision() -> None:
    """数据库是哪个版本，程序需要哪个版本。退出码：0 相同，1 不同。"""
    from serving.settings import load_settings
    from serving.store import revisions

    found = revisions.revision_of(load_settings().database)
    print(f"数据库 {found or '空'}")
    print(f"程序   {revisions.HEAD}")
    raise typer.Exit(0 if found == revisions.HEAD else 1)
