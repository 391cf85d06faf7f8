"""Who may ask: the roles, what each may do, and the one who asks."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a key or an account is for. A case system is scoped to a source, a department to itself."""

    CASE_SYSTEM = "case-system"
    REVIEWER = "reviewer"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"
    DEPARTMENT = "department"
    IDENTITY = "identity"
    MONITOR = "monitor"


ROLE_ZH = {
    Role.CASE_SYSTEM: "业务系统",
    Role.REVIEWER: "审核员",
    Role.SUPERVISOR: "督办员",
    Role.ADMIN: "管理员",
    Role.DEPARTMENT: "承办部门",
    Role.IDENTITY: "身份查询员",
    Role.MONITOR: "运行监控",
}
MAY_ZH = {
    Role.CASE_SYSTEM: ("报送投诉", "查看本系统报送的投诉及其研判结果"),
    Role.REVIEWER: ("查看投诉及其研判结果（隐去个人信息）", "更正研判结果"),
    Role.SUPERVISOR: ("查看投诉及其研判结果（隐去个人信息）", "查看每条投诉的经过", "查看运行指标"),
    Role.ADMIN: ("管理密钥与消息推送", "查看投诉及其研判结果（隐去个人信息）", "查看运行指标"),
    Role.DEPARTMENT: ("查看分给本部门的投诉（隐去个人信息）", "退回不属于本部门的投诉"),
    Role.IDENTITY: ("说明用途后查看投诉原文，每次都留下记录",),
    Role.MONITOR: ("查看运行指标",),
}


def roles_help(roles: Iterable[Role]) -> str:
    """The roles one may choose from, as the help of a command says it."""
    return f"角色：{'、'.join(f'{role}（{ROLE_ZH[role]}）' for role in roles)}。"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The one who asks. ``actor`` is ``key:<id>`` or ``account:<name>``; ``source`` and ``department`` bound what a
    case system or a department may see. ``csrf`` is the token of the session, empty for a key."""

    actor: str
    role: Role
    source: str | None = None
    department: str | None = None
    csrf: str = ""

    @property
    def name(self) -> str:
        """The name of the account, or the id of the key."""
        return self.actor.partition(":")[2]
