"""Problem bodies (RFC 9457) and the one table from errors to HTTP statuses.

InputError
└── RequestRefused              the request as a whole cannot be answered; ``faults`` says why in detail
    ├── BodyUnreadable          not UTF-8, not JSON
    ├── BodyTooLarge
    └── ContentTypeUnsupported

The errors beside wrong input are those of `serving.errors`.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from data.errors import FenzhenError, InputError
from serving.errors import (
    BodyTimedOut,
    Conflict,
    DatabaseUnavailable,
    Forbidden,
    HeadersTooLarge,
    Missing,
    NotReady,
    Overloaded,
    PreconditionMissing,
    RateLimited,
    Refusal,
    Stale,
    TimedOut,
    Unauthenticated,
)
from serving.wire import Json

MEDIA_TYPE = "application/problem+json"
INTERNAL_DETAIL = "服务内部出错，没有给出结果。请稍后重试；仍不行时把 request_id 告诉管理员。"


class FaultJson(TypedDict):
    """一处具体的错误。"""

    where: str
    field: str
    code: str
    detail: str


class Problem(TypedDict):
    """出错时的回答（RFC 9457）。"""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FaultJson]


class RequestRefused(InputError):
    """The request as a whole cannot be answered."""

    def __init__(self, code: str, zh: str, *, where: str = "", faults: Iterable[FaultJson] = ()) -> None:
        super().__init__(code, zh, where=where)
        self.faults = list(faults)


class BodyUnreadable(RequestRefused):
    """The body is not UTF-8 or not JSON."""


class BodyTooLarge(RequestRefused):
    """The body has more bytes than the service takes."""


class ContentTypeUnsupported(RequestRefused):
    """The body is not declared as JSON."""


_STATUS: Mapping[type[Exception], int] = {
    BodyUnreadable: 400,
    BodyTooLarge: 413,
    ContentTypeUnsupported: 415,
    InputError: 422,
    RequestValidationError: 422,
    Unauthenticated: 401,
    Forbidden: 403,
    Missing: 404,
    BodyTimedOut: 408,
    Conflict: 409,
    Stale: 412,
    PreconditionMissing: 428,
    Overloaded: 429,
    RateLimited: 429,
    HeadersTooLarge: 431,
    NotReady: 503,
    DatabaseUnavailable: 503,
    TimedOut: 503,
    FenzhenError: 500,
    Exception: 500,
}
_TITLES = {
    400: "请求体无法读取",
    401: "没有表明身份",
    403: "没有权限",
    404: "没有这个地址",
    405: "这个地址不接受这种请求方法",
    408: "请求没有按时发完",
    409: "与已有的内容冲突",
    412: "内容已被别人改过",
    413: "请求体过大",
    415: "不支持的内容类型",
    422: "请求内容有误",
    428: "缺少必要的条件",
    429: "请求过多",
    431: "请求头过大",
    500: "服务内部错误",
    503: "服务尚未就绪",
}
_DETAILS = {
    404: "请核对地址；可用的地址见 /docs。",
    405: "请改用响应头 Allow 所列的方法。",
    500: INTERNAL_DETAIL,
}
_CODES = {404: "not_found", 405: "method_not_allowed", 500: "internal_error"}
_DOCUMENTED = {401: "没有给出有效的密钥，也没有登录", 403: "这个角色不能做这件事", 404: "没有这一条，或无权看"}
_FAULTS = {
    "missing": ("field_missing", "缺少必填字段"),
    "extra_forbidden": ("field_unknown", "不认识的字段"),
    "list_type": ("field_invalid", "应为数组"),
    "model_type": ("field_invalid", "应为 JSON 对象"),
    "too_short": ("field_invalid", "至少要有一项"),
}


def problem_of(error: Exception, request_id: str) -> Problem:
    """The problem body that says as much of ``error`` as a caller may know."""
    if isinstance(error, HTTPException):
        return _problem(error.status_code, request_id)
    status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    if isinstance(error, RequestValidationError):
        return _problem(status, request_id, code="request_invalid", faults=validation_faults(error.errors()))
    if isinstance(error, InputError):
        faults = error.faults if isinstance(error, RequestRefused) else []
        detail = f"{error.where}：{error.zh}" if error.where else error.zh
        return _problem(status, request_id, code=error.code, detail=detail, faults=faults)
    if isinstance(error, Refusal):
        return _problem(status, request_id, code=error.code, detail=error.zh)
    return _problem(status, request_id)


def _problem(
    status: int, request_id: str, *, code: str = "", detail: str = "", faults: Sequence[FaultJson] = ()
) -> Problem:
    known = code or _CODES.get(status) or HTTPStatus(status).phrase.lower().replace(" ", "_")
    return Problem(
        type=f"urn:fenzhen:problem:{known}",
        title=_TITLES.get(status, "请求无法完成"),
        status=status,
        detail=detail or _DETAILS.get(status) or _TITLES.get(status, "请求无法完成"),
        code=known,
        request_id=request_id,
        errors=list(faults),
    )


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that may answer with problems of these statuses."""
    schema = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    return {
        status: {"description": _DOCUMENTED.get(status) or _TITLES.get(status, "请求无法完成"), **schema}
        for status in statuses
    }


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The response that carries ``problem``."""
    return Json(problem, problem["status"], headers, MEDIA_TYPE)


def refusal_headers(error: Exception) -> dict[str, str]:
    """What a caller needs to know beside the body: when to try again, how to say who it is."""
    headers = {}
    if isinstance(error, Refusal) and error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return headers


async def answer_problem(request: Request, error: Exception) -> Response:
    """Exception handler of the app for every error that a caller may learn about."""
    request.state.error = error  # for the log line: its code, and its places if it is a fault of ours
    headers = error.headers if isinstance(error, HTTPException) else refusal_headers(error)
    return problem_response(problem_of(error, request.state.request_id), headers)


def validation_faults(errors: Iterable[Any]) -> list[FaultJson]:
    """What pydantic found, in Chinese; the values themselves are not repeated."""
    return [_fault(error) for error in errors]


def _fault(error: Mapping[str, Any]) -> FaultJson:
    code, detail = _FAULTS.get(error["type"], ("field_invalid", "值不符合要求"))
    *parents, field = [str(part) for part in error["loc"]] or [""]
    return FaultJson(where=".".join(parents), field=field[:100], code=code, detail=detail)
