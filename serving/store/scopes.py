"""What a role is bounded by: a case system by its source, a department by itself, every other role by nothing."""

import re
import unicodedata

from data.errors import InputError
from data.taxonomy import Taxonomy
from serving.roles import ROLE_ZH, Role

LONGEST_NAME = 64
_NAME = re.compile(rf"[\w.@-]{{1,{LONGEST_NAME}}}")
_SOURCE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def name_of(text: str) -> str:
    """The one spelling of a name: NFKC, lower case. Raises InputError name_invalid."""
    name = unicodedata.normalize("NFKC", text).strip().lower()
    if not _NAME.fullmatch(name):
        zh = f"名称应为 1 到 {LONGEST_NAME} 个字，只含汉字、字母、数字和 . _ @ -。"
        raise InputError("name_invalid", zh)
    return name


def check_source(source: str) -> None:
    """Raises InputError source_invalid."""
    if not _SOURCE.fullmatch(source):
        raise InputError("source_invalid", "来源系统 source 应为 1 到 64 个字母、数字或 . _ -。")


def check_scope(role: Role, source: str | None, department: str | None, taxonomy: Taxonomy) -> None:
    """Raises InputError source_* or department_* where the role lacks its bound, or has one that binds nothing."""
    if role is Role.CASE_SYSTEM and source is None:
        raise InputError("source_missing", f"{ROLE_ZH[role]}（{role}）要说明来源系统 source。")
    if role is not Role.CASE_SYSTEM and source is not None:
        raise InputError("source_unused", f"只有{ROLE_ZH[Role.CASE_SYSTEM]}（{Role.CASE_SYSTEM}）才有来源系统 source。")
    if source is not None:
        check_source(source)
    if role is Role.DEPARTMENT and department is None:
        raise InputError("department_missing", f"{ROLE_ZH[role]}（{role}）要说明部门编号 department。")
    if role is not Role.DEPARTMENT and department is not None:
        raise InputError(
            "department_unused", f"只有{ROLE_ZH[Role.DEPARTMENT]}（{Role.DEPARTMENT}）才有部门编号 department。"
        )
    if department is not None and department not in taxonomy.department_ids:
        raise InputError("department_unknown", "没有这个部门编号 department，可用的见 taxonomy.yaml 的 departments。")
