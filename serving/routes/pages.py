"""The pages of people: logging in and out, and who one is. Everything else they see comes with the review workbench."""

import math
import secrets
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import RedirectResponse, Response

from serving.access import CSRF_FIELD, SESSION_COOKIE, Principal, require_any, same
from serving.forms import read_form
from serving.html import page
from serving.roles import MAY_ZH, ROLE_ZH
from serving.runtime import runtime_of
from serving.store.access import AccessStore

STATIC = Path(__file__).parents[1] / "static"
STATIC_URL = "/static"
LOGIN_COOKIE = "fenzhen_login"
LANDINGS = frozenset({"/", "/docs"})  # where a log-in may lead: anything else leads to the first
ATTEMPTS = 20  # a minute from one address
MOST_WAITING, BUSY = 20, 10.0  # log-ins waiting for their turn, and the seconds after which to try again
WRONG = "账号或密码不对，或账号已停用。连续输错 5 次，要等 15 分钟。"
STALE = "页面已过期，请再试一次。"
TOO_OFTEN = "登录太频繁，请一分钟后再试。"

Anybody = Annotated[Principal, Depends(require_any(login=True))]
router = APIRouter(include_in_schema=False)
_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parents[1] / "templates"), autoescape=True, undefined=StrictUndefined
)


@router.get("/")
async def home(request: Request, who: Anybody) -> Response:
    taxonomy = runtime_of(request).access.taxonomy
    scope = taxonomy.department(who.department).zh if who.department else who.source
    return _page("home.html", who=who, role=ROLE_ZH[who.role], scope=scope, may=MAY_ZH[who.role])


@router.get("/login")
async def login_form(request: Request, next: str = "/") -> Response:
    return _login_page(request, _landing(next))


@router.post("/login")
async def log_in(request: Request) -> Response:
    access, form = runtime_of(request).access, await read_form(request)
    next = _landing(form.get("next", ""))
    cookie = request.cookies.get(LOGIN_COOKIE, "")
    if not cookie or not same(form.get(CSRF_FIELD, ""), cookie):
        return _login_page(request, next, STALE, 403)
    wait = _wait(request, access)
    if wait:
        refused = _login_page(request, next, TOO_OFTEN, 429)
        refused.headers["Retry-After"] = str(math.ceil(wait))
        return refused
    former = request.cookies.get(SESSION_COOKIE, "")
    name, password = form.get("name", ""), form.get("password", "")
    attempt = partial(access.sessions.log_in, name, password, former=former)
    token = await run_sync(attempt, limiter=access.log_ins)
    if token is None:
        return _login_page(request, next, WRONG, 403)
    response = RedirectResponse(next, 303, headers={"Cache-Control": "no-store"})
    _set_cookie(request, response, SESSION_COOKIE, token)
    response.delete_cookie(LOGIN_COOKIE)
    return response


@router.post("/logout")
async def log_out(request: Request, who: Anybody) -> Response:
    await run_sync(runtime_of(request).access.sessions.log_out, request.cookies.get(SESSION_COOKIE, ""))
    response = RedirectResponse("/login", 303, headers={"Cache-Control": "no-store"})
    response.delete_cookie(SESSION_COOKIE)
    return response


def _wait(request: Request, access: AccessStore) -> float:
    """Seconds until this address may try to log in; 0 is now."""
    if access.log_ins.statistics().tasks_waiting >= MOST_WAITING:
        return BUSY
    return access.rates.wait(f"login:{request.client.host if request.client else ''}", ATTEMPTS)


def _landing(next: str) -> str:
    return next if next in LANDINGS else "/"


def _login_page(request: Request, next: str, error: str = "", status: int = 200) -> Response:
    """The form, with a token that must come back both in it and in a cookie that only this site can set."""
    token = request.cookies.get(LOGIN_COOKIE) or secrets.token_urlsafe(32)
    response = _page("login.html", status, next=next, error=error, csrf=token)
    _set_cookie(request, response, LOGIN_COOKIE, token)
    return response


def _page(template: str, status: int = 200, **values: Any) -> Response:
    return page(_templates.get_template(template).render(static=STATIC_URL, **values), status)


def _set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, httponly=True, samesite="strict", secure=secure)
