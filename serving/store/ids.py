"""What rows are called towards callers: UUIDs in their usual spelling."""

import re
from uuid import uuid4

_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def new_id() -> str:
    """An id that no other row has."""
    return str(uuid4())


def is_id(text: str) -> bool:
    """Whether a row may be called ``text``; what is no id, a database might refuse to compare with."""
    return _ID.fullmatch(text) is not None
