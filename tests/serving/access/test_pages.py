"""Logging in, out and the page between, as a browser meets them."""

import asyncio
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from http.cookies import Morsel, SimpleCookie
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from serving.access import SESSION_COOKIE, Role
from serving.routes import pages
from serving.routes.pages import ATTEMPTS, LOGIN_COOKIE
from serving.store.access import AccessStore

PASSWORD = "correct horse 42"
KeyOf = Callable[..., dict[str, str]]


@pytest.fixture(autouse=True)
def person(access: AccessStore) -> None:
    access.accounts.add("test", "wang", PASSWORD, role=Role.REVIEWER)


def hidden(page: str, name: str) -> str:
    found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)">', page)
    assert found, page
    return found[1]


def log_in(client: TestClient, name: str = "wang", password: str = PASSWORD, **fields: str) -> Any:
    """What a browser does: read the form, send it back filled in."""
    form = client.get("/login").text
    sent = {"csrf": hidden(form, "csrf"), "next": hidden(form, "next"), "name": name, "password": password, **fields}
    return client.post("/login", data=sent)


def cookie(response: Any, name: str) -> Morsel[str]:
    jars = [SimpleCookie(line) for line in response.headers.get_list("set-cookie")]
    (found,) = [jar[name] for jar in jars if name in jar]
    return found


def is_page(response: Any, status: int = 200) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = response.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"
    assert response.headers["cache-control"] == "no-store"
    text: str = response.text
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|https?://", text)
    return text


def test_whoever_is_not_logged_in_is_sent_to_the_login_page_and_back(client: TestClient) -> None:
    sent = client.get("/")
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/")
    assert hidden(is_page(client.get("/login?next=/docs")), "next") == "/docs"
    done = log_in(client, next="/docs")
    assert (done.status_code, done.headers["location"]) == (303, "/docs")
    assert "wang" in is_page(client.get("/"))


def test_the_home_page_says_who_one_is_and_what_one_may_do(client: TestClient, access: AccessStore) -> None:
    access.accounts.add("test", "商务局.李", PASSWORD, role=Role.DEPARTMENT, department="commerce")
    log_in(client, "商务局.李")
    page = is_page(client.get("/"))
    for words in ("商务局.李", "承办部门", "商务局", "退回不属于本部门的投诉", 'href="/docs"', "退出登录"):
        assert words in page


def test_a_key_sees_the_home_page_too_but_has_nothing_to_log_out_of(client: TestClient, key_of: KeyOf) -> None:
    page = is_page(client.get("/", headers=key_of(Role.CASE_SYSTEM)))
    assert "业务系统" in page and "hotline" in page and "/logout" not in page


def test_what_is_shown_is_escaped(client: TestClient, access: AccessStore) -> None:
    page = is_page(client.get('/login?next="><b>'))
    assert "<b>" not in page
    form = client.get("/login").text
    sent = {"csrf": hidden(form, "csrf"), "name": "<script>alert(1)</script>", "password": "<img src=x>"}
    assert "alert(1)" not in is_page(client.post("/login", data=sent), 403)


def test_the_cookies_are_kept_from_scripts_and_other_sites(app: FastAPI) -> None:
    for scheme in ("http", "https"):
        client = TestClient(app, base_url=f"{scheme}://testserver", follow_redirects=False)
        form = client.get("/login")
        done = log_in(client)
        for morsel in (cookie(form, LOGIN_COOKIE), cookie(done, SESSION_COOKIE)):
            assert morsel["httponly"] is True
            assert morsel["samesite"].lower() == "strict"
            assert morsel["path"] == "/"
            assert morsel["domain"] == morsel["max-age"] == morsel["expires"] == ""
            assert bool(morsel["secure"]) == (scheme == "https")
        assert cookie(done, LOGIN_COOKIE)["max-age"] == "0"
        assert done.headers["cache-control"] == "no-store"


WRONG: list[dict[str, str]] = [
    {"name": "nobody"},
    {"password": "wrong password"},
    {"name": "nobody", "password": "wrong password"},
    {"name": "", "password": ""},
    {"name": "\0", "password": "\0"},
    {"name": "x" * 3000, "password": "y" * 3000},
]


def test_a_failed_log_in_says_nothing_about_which_part_was_wrong(client: TestClient) -> None:
    answers = {is_page(log_in(client, **wrong), 403) for wrong in WRONG}
    assert len(answers) == 1
    assert SESSION_COOKIE not in client.cookies
    assert client.get("/").status_code == 303


def test_a_closed_account_is_told_no_more_than_a_wrong_password(client: TestClient, access: AccessStore) -> None:
    unknown = log_in(client, "nobody")
    for _ in range(5):
        access.sessions.log_in("wang", "wrong password")
    locked = log_in(client)
    access.accounts.disable("test", "wang")
    disabled = log_in(client)
    assert locked.status_code == disabled.status_code == unknown.status_code == 403
    assert locked.text == disabled.text == unknown.text


ELSEWHERE = [
    "//evil.example",
    "https://evil.example/",
    "/\\evil.example",
    "/%2f/evil.example",
    "javascript:alert(1)",
    "/docs@evil.example",
    "/ /evil.example",
    "docs",
    "/logout",
    "/docs\r\nSet-Cookie: a=b",
    "",
]


def test_a_log_in_never_leads_elsewhere(client: TestClient) -> None:
    for next in ELSEWHERE:
        assert hidden(client.get("/login", params={"next": next}).text, "next") == "/"
        assert log_in(client, next=next).headers["location"] == "/"


# --- forged requests


def test_the_login_form_needs_its_own_token_in_form_and_cookie(client: TestClient, app: FastAPI) -> None:
    form = client.get("/login").text
    filled = {"name": "wang", "password": PASSWORD}
    for token in ({}, {"csrf": ""}, {"csrf": "x" * 43}):
        page = is_page(client.post("/login", data={**filled, **token}), 403)
        assert "页面已过期" in page
    without_cookie = TestClient(app, follow_redirects=False)
    is_page(without_cookie.post("/login", data={**filled, "csrf": hidden(form, "csrf")}), 403)
    empty_cookie = TestClient(app, follow_redirects=False, cookies={LOGIN_COOKIE: ""})
    is_page(empty_cookie.post("/login", data={**filled, "csrf": ""}), 403)
    assert SESSION_COOKIE not in client.cookies


def test_a_stale_form_can_be_sent_again_as_it_comes_back(client: TestClient) -> None:
    page = client.post("/login", data={"name": "wang", "password": PASSWORD, "csrf": "old", "next": "/docs"}).text
    sent = {"csrf": hidden(page, "csrf"), "next": hidden(page, "next"), "name": "wang", "password": PASSWORD}
    assert client.post("/login", data=sent).headers["location"] == "/docs"


def test_a_session_planted_before_the_log_in_is_worth_nothing(client: TestClient, access: AccessStore) -> None:
    planted = access.sessions.log_in("wang", PASSWORD)
    assert planted is not None
    client.cookies.set(SESSION_COOKIE, planted)
    fresh = cookie(log_in(client), SESSION_COOKIE).value
    assert fresh != planted
    assert access.sessions.find(planted) is None
    assert access.sessions.find(fresh) is not None


def test_logging_out_needs_the_token_and_ends_the_session(client: TestClient, access: AccessStore) -> None:
    token = cookie(log_in(client), SESSION_COOKIE).value
    assert client.post("/logout").status_code == 403
    assert client.get("/logout").status_code == 405
    assert access.sessions.find(token) is not None
    done = client.post("/logout", data={"csrf": hidden(client.get("/").text, "csrf")})
    assert (done.status_code, done.headers["location"]) == (303, "/login")
    assert cookie(done, SESSION_COOKIE)["max-age"] == "0"
    assert access.sessions.find(token) is None


# --- guessing and the rest


def test_one_address_may_try_so_often_a_minute(client: TestClient, clock: Any) -> None:
    for _ in range(ATTEMPTS):
        is_page(log_in(client, "nobody"), 403)
    assert "登录太频繁" in is_page(log_in(client), 429)
    assert log_in(client).headers["retry-after"] == "60"
    clock.ticks += 60
    assert log_in(client).status_code == 303


def test_log_ins_take_turns_and_too_many_at_once_are_sent_away(
    app: FastAPI, access: AccessStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_WAITING", 2)
    transport = httpx.ASGITransport(app)

    async def crowd() -> list[int]:
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            form = await client.get("/login")
            sent = {"csrf": hidden(form.text, "csrf"), "name": "nobody", "password": "wrong password"}
            async with access.log_ins:
                waiting = []
                for number in range(2):
                    waiting.append(asyncio.create_task(client.post("/login", data=sent)))
                    while access.log_ins.statistics().tasks_waiting == number:
                        await asyncio.sleep(0.001)
                refused = [await client.post("/login", data=sent) for _ in range(3)]
            return [answer.status_code for answer in [*refused, *await asyncio.gather(*waiting)]]

    assert asyncio.run(crowd()) == [429, 429, 429, 403, 403]


def test_a_login_that_is_no_form_is_refused(client: TestClient) -> None:
    client.get("/login")
    is_page(client.post("/login", json={"name": "wang", "password": PASSWORD}), 403)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/login", content="a=" + "x" * 10_000, headers=form).status_code == 413
    assert client.post("/login", content=b"\xff\xfe", headers=form).status_code == 400


def test_what_the_pages_load_is_there_and_comes_from_here(client: TestClient) -> None:
    links = re.findall(r'href="(/static/[^"]+)"', client.get("/login").text)
    assert len(links) == 2
    for link in links:
        assert client.get(link).status_code == 200
    css = client.get("/static/page.css").text
    assert "url(" not in css and "@import" not in css
    assert client.get("/static/../roles.py").status_code == 404
    assert client.get("/static/%2e%2e/roles.py").status_code == 404


def test_the_documentation_is_for_those_who_are_let_in_and_runs_only_its_own_scripts(client: TestClient) -> None:
    sent = client.get("/docs")
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/docs")
    assert client.get("/openapi.json").status_code == 401
    log_in(client)
    docs = client.get("/docs")
    policy = dict(part.strip().split(" ", 1) for part in docs.headers["content-security-policy"].split(";"))
    (script,) = re.findall(r"<script>(.*?)</script>", docs.text, re.DOTALL)
    assert policy["script-src"] == f"'self' 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
    assert policy["default-src"] == "'self'" and policy["frame-ancestors"] == "'none'"
    assert not re.search(r"https?://", docs.text)
    for link in re.findall(r'(?:src|href)="([^"]+)"', docs.text):
        assert client.get(link).status_code == 200
    assert client.get("/openapi.json").json()["openapi"].startswith("3.")
