"""Passwords: argon2id."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from data.errors import InputError

SHORTEST, LONGEST, FEWEST_DIFFERENT = 10, 128, 5


class Passwords:
    """Makes and checks hashes, each 64 MiB of memory and some tens of milliseconds with the usual parameters."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher = hasher

    def hash(self, password: str) -> str:
        """The hash to store."""
        return self._hasher.hash(password)

    def verify(self, hash: str | None, password: str) -> bool:
        """Whether ``password`` belongs to ``hash``; takes as long where there is no hash to compare with."""
        if hash is None:
            self.hash(password)
            return False
        try:
            return self._hasher.verify(hash, password)
        except (VerificationError, InvalidHashError):
            return False

    def outdated(self, hash: str) -> bool:
        """Whether ``hash`` was made with other parameters than are used now."""
        return self._hasher.check_needs_rehash(hash)


def check_password(password: str) -> None:
    """Raises InputError password_weak for one that is too short, too long, or of few different characters."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InputError("password_weak", f"密码应有 {SHORTEST} 到 {LONGEST} 个字符。")
    if len(set(password)) < FEWEST_DIFFERENT:
        raise InputError("password_weak", f"密码应有至少 {FEWEST_DIFFERENT} 个不同的字符。")
