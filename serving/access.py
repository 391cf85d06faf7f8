"""Who is asking, and whether they may: the one gate before every route.

A program sends ``Authorization: Bearer fz_…``; a person has the cookie of a session, and then every request that
changes something carries the session's CSRF token too. Every route is in ``OPEN`` or has a ``require(…)`` dependency.
"""

import hmac
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, Request, Security
from fastapi.routing import iter_route_contexts
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from serving.errors import Forbidden, RateLimited, Unauthenticated
from serving.forms import read_form
from serving.roles import Principal, Role
from serving.runtime import runtime_of
from serving.store.access import AccessStore
from serving.store.keys import KeyStatus

__all__ = ["OPEN", "Principal", "Requirement", "Role", "require", "require_any", "unprotected_routes"]

OPEN = frozenset({"/healthz", "/readyz", "/login", "/static", "/static/docs"})
SESSION_COOKIE = "fenzhen_session"
CSRF_FIELD, CSRF_HEADER = "csrf", "X-CSRF-Token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_BEARER = HTTPBearer(scheme_name="key", auto_error=False, description="密钥：由 fenzhen keys create 发放")
_COOKIE = APIKeyCookie(
    name=SESSION_COOKIE,
    scheme_name="session",
    auto_error=False,
    description=f"登录页面后的会话；除 GET 外还要在请求头 {CSRF_HEADER} 中给出会话的令牌",
)


async def identified(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    session: Annotated[str | None, Security(_COOKIE)],
) -> Principal | None:
    """Who asks; None where neither a key nor a living session was sent.

    Raises Unauthenticated for a key that is unknown, expired or revoked, RateLimited, and Forbidden (csrf_invalid)
    for a change by session without the session's token.
    """
    access = runtime_of(request).access
    if bearer is not None:
        return await _by_key(access, bearer.credentials)
    if not session:
        return None
    found = await run_sync(access.sessions.find, session)
    if found is None:
        return None
    if request.method not in _SAFE and not same(await _csrf_of(request), found.csrf):
        raise Forbidden("缺少会话令牌，或页面已过期：请刷新页面后重试。", code="csrf_invalid")
    return found.principal


async def _by_key(access: AccessStore, secret: str) -> Principal:
    found = access.keys.remembered(secret)
    if found is None:
        found = await run_sync(access.keys.look_up, secret)
    key = found.key
    if key is None or access.keys.status(key) is not KeyStatus.ACTIVE:
        raise Unauthenticated
    wait = access.rates.wait(key.id, key.per_minute)
    if wait:
        raise RateLimited(retry_after=math.ceil(wait))
    return key.principal


async def _csrf_of(request: Request) -> str:
    given = request.headers.get(CSRF_HEADER)
    return given if given is not None else (await read_form(request)).get(CSRF_FIELD, "")


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


@dataclass(frozen=True)
class Requirement:
    """A dependency: the one who asks must have one of the roles. ``login``: a person who is not logged in is sent to
    the login page instead of getting a 401."""

    roles: frozenset[Role]
    login: bool = False

    async def __call__(self, request: Request, who: Annotated[Principal | None, Depends(identified)]) -> Principal:
        if who is None:
            if self.login:
                raise HTTPException(303, headers={"Location": f"/login?next={quote(request.url.path)}"})
            raise Unauthenticated
        request.state.actor = who.actor  # for the log line
        if who.role not in self.roles:
            raise Forbidden
        return who


def require(*roles: Role) -> Requirement:
    """The dependency of a route for these roles; 401, 403 and 429 are its problems."""
    return Requirement(frozenset(roles))


def require_any(*, login: bool = False) -> Requirement:
    """The dependency of a route for any role."""
    return Requirement(frozenset(Role), login)


def route_roles(app: FastAPI) -> dict[tuple[str, str], frozenset[Role] | None]:
    """Of every method and path of the app the roles that may call it; None where nothing is required."""
    found: dict[tuple[str, str], frozenset[Role] | None] = {}
    for route in iter_route_contexts(app.routes):
        required = [call.roles for call in _calls(getattr(route, "dependant", None)) if isinstance(call, Requirement)]
        roles = frozenset.intersection(*required) if required else None
        for method in sorted(route.methods or {"*"}):
            found[method, route.path or "*"] = roles
    return found


def unprotected_routes(app: FastAPI) -> list[str]:
    """The routes that are neither open nor require a role: ``GET /path``. There should be none."""
    return [
        f"{method} {path}" for (method, path), roles in route_roles(app).items() if roles is None and path not in OPEN
    ]


def _calls(dependant: Any) -> Iterator[Any]:
    if dependant is not None:
        yield dependant.call
        for one in dependant.dependencies:
            yield from _calls(one)
