"""What a pattern of personal data is: ``data.privacy`` runs the patterns that its neighbours list."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

HAN = "\u4e00-\u9fff"
EDGE = r"(?=[,，。.;；:：!！?？、\s()（）《“\"]|$)"  # a word ends here


class PersonalKind(StrEnum):
    """What a piece of personal data is."""

    PHONE = "phone"
    IDENTITY = "identity"
    BANK_CARD = "bank_card"
    PLATE = "plate"
    EMAIL = "email"
    ACCOUNT = "account"
    ADDRESS = "address"
    NAME = "name"


def always(match: re.Match[str]) -> bool:
    """The check of a pattern that needs none."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalPattern:
    """One named pattern.

    ``source`` is a regular expression that is searched for in the normalised text, or, if ``digits``, in the same with
    spoken digits (幺三八) as figures. What is hidden is its group ``hide`` where it has one, else all of the match,
    provided ``check`` holds. ``everywhere``: what was found is hidden wherever else it stands in the text.
    """

    name: str
    kind: PersonalKind
    source: str
    digits: bool = False
    everywhere: bool = False
    check: Callable[[re.Match[str]], bool] = always

    @property
    def regex(self) -> re.Pattern[str]:
        """The pattern; compiled once it is needed, for that takes longer than everything else about it."""
        return _compiled(self.source)

    @property
    def group(self) -> str | int:
        """The group that is hidden."""
        return "hide" if "hide" in self.regex.groupindex else 0


@cache
def _compiled(source: str) -> re.Pattern[str]:
    return re.compile(source)
