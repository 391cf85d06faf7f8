"""``fenzhen backup``: the database into one file and back."""

from pathlib import Path
from typing import Annotated

from serving.commands.groups import argument, command, group, option, say

app = group("备份与恢复。")


@command(app, "create")
def backup_create(
    file: Annotated[Path, argument("写到哪个文件（如 fenzhen-20240607.backup），不会覆盖已有的。")],
    with_secret: Annotated[
        bool, option("--with-secret", help="连同密钥文件。这样的备份能解开全部投诉原文，须加密保管。")
    ] = False,
) -> None:
    """备份整个数据库，服务不必停。投诉原文在备份里仍是加密的，密钥文件须另外保管。"""
    from serving.backup import create_backup
    from serving.settings import load_settings

    settings = load_settings()
    made = create_backup(settings, file, with_secret=with_secret)
    print(f"{file}：投诉 {made.point.leads} 条，审计记录 {made.point.seq} 条，数据库版本 {made.point.revision}")
    if with_secret:
        say("注意：备份含密钥文件，谁拿到它都能读到全部投诉原文，请加密保管。")
    else:
        say(f"注意：备份不含密钥文件 {settings.secret}。缺了它，投诉原文无法解开，请另外备份到别处。")


@command(app, "restore")
def backup_restore(file: Annotated[Path, argument("备份文件。")]) -> None:
    """把备份恢复到空的地方（没有 SQLite 文件，或空的 PostgreSQL 库），然后核对审计链。服务须先停止。"""
    from serving.backup import restore_backup, verify_restored
    from serving.settings import load_settings

    settings = load_settings()
    restored = restore_backup(settings, file)
    say(f"已恢复 {restored.created} 的备份，正在核对审计链……")
    report = verify_restored(settings, restored)
    print(f"投诉 {restored.point.leads} 条，审计记录 {report.records} 条，与审计链相符。")
