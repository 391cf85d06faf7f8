"""The project's error tree.

FenzhenError
├── PolicyError      policy files: carries every fault found, each with file and line
├── InputError       a complaint or a file of complaints that cannot be taken as it is
│   ├── FieldError       … naming the field (data.complaint_json)
│   └── RequestRefused   … a whole HTTP request (serving)
├── BundleError      a model bundle that is damaged or does not fit
│   └── BaseEncoderError … the base encoder cannot be rebuilt (training)
├── SettingsError    FENZHEN_ variables that cannot be used (serving)
├── StoreError       the store cannot be used as it is (serving.errors)
└── Refusal          what a caller of the service is told, such as Missing, Conflict, Overloaded (serving.errors)
"""

from collections.abc import Iterable
from dataclasses import dataclass


class FenzhenError(Exception):
    """Root of all errors raised by this project. `code` is a stable English identifier for machines."""

    code = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault in a policy file: where it is and what was expected."""

    file: str
    line: int | None
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}" if self.line else f"{self.file}: {self.what}"


class PolicyError(FenzhenError):
    """The policy folder is not usable; `faults` lists everything that is wrong with it."""

    code = "policy_invalid"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(f"规则目录有 {len(self.faults)} 处错误：\n" + "\n".join(map(str, self.faults)))


class InputError(FenzhenError):
    """A complaint or a file cannot be read. `code` names the kind, `zh` says it to a person.

    `where` is a file, row or field, e.g. ``leads.xlsx, row 12``.
    """

    def __init__(self, code: str, zh: str, *, where: str = "") -> None:
        self.code, self.zh, self.where = code, zh, where
        super().__init__(f"{where}: {zh}" if where else zh)


class BundleError(FenzhenError):
    """A bundle is damaged, of another format, or made for another taxonomy."""

    code = "bundle_invalid"
