"""What a caller may be told, beside wrong input (`data.errors.InputError`). `serving.problems` gives each its status.

FenzhenError
├── StoreError               wrong secret, tampered row, database of another revision
└── Refusal                  carries `zh` for the caller
    ├── NotReady             the model is not loaded yet
    ├── DatabaseUnavailable  refused, locked for too long, disk full; try again
    ├── Overloaded           more complaints wait than may
    ├── TimedOut             not answered in time; nothing was stored
    ├── RateLimited          this key asked too often
    ├── Unauthenticated      no valid key, no session
    ├── Forbidden            the role may not do this
    ├── Missing              no such thing, or not for this caller
    ├── Conflict             against what is stored; `code` says which
    ├── Stale                If-Match names another version
    ├── PreconditionMissing  If-Match was not given
    ├── HeadersTooLarge      more bytes of headers than the service takes
    └── BodyTimedOut         the body was not sent in time
"""

from data.errors import FenzhenError


class StoreError(FenzhenError):
    """The store cannot be used as it is; the message says why, for the operator."""

    code = "store_unusable"


class Refusal(FenzhenError):
    """Something the caller is told: `zh` for a person, `code` for a program, `retry_after` in whole seconds."""

    code = "refused"
    zh = "请求无法完成"

    def __init__(self, zh: str = "", *, code: str = "", retry_after: int | None = None) -> None:
        self.zh, self.code, self.retry_after = zh or self.zh, code or self.code, retry_after
        super().__init__(self.zh)


class NotReady(Refusal):
    code, zh = "not_ready", "模型还在载入，请稍后重试。"


class DatabaseUnavailable(Refusal):
    code, zh = "database_unavailable", "数据库暂时不能用，这次没有保存任何内容，请稍后重试。"

    def __init__(self, zh: str = "", *, code: str = "", retry_after: int | None = 5) -> None:
        super().__init__(zh, code=code, retry_after=retry_after)


class Overloaded(Refusal):
    code, zh = "overloaded", "排队等待研判的投诉太多，这次没有受理，请稍后重试。"


class TimedOut(Refusal):
    code, zh = "timed_out", "没有在规定时间内研判完，这次没有保存任何内容，请稍后重试。"


class RateLimited(Refusal):
    code, zh = "rate_limited", "这个密钥的请求太频繁，请稍后重试。"


class Unauthenticated(Refusal):
    code, zh = "unauthenticated", "请在 Authorization 中给出有效的密钥，或先登录。"


class Forbidden(Refusal):
    code, zh = "forbidden", "这个角色不能做这件事。"


class Missing(Refusal):
    code, zh = "not_found", "没有这一条，或无权看。"


class Conflict(Refusal):
    code, zh = "conflict", "与已有的内容冲突。"


class Stale(Refusal):
    code, zh = "version_stale", "内容已被别人改过，请重新读取后再改。"


class PreconditionMissing(Refusal):
    code, zh = "if_match_missing", "请在 If-Match 中给出读取时的 ETag。"


class HeadersTooLarge(Refusal):
    code, zh = "headers_too_large", "请求头过大。"


class BodyTimedOut(Refusal):
    code, zh = "body_timed_out", "请求体没有按时发完。"
