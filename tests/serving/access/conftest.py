"""A small app behind the real gate, over a real database, at a time that the test sets."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from argon2 import PasswordHasher
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

from data.errors import InputError
from data.taxonomy import Taxonomy
from serving.access import Principal, Role, require, require_any
from serving.errors import Refusal
from serving.problems import answer_problem
from serving.routes import documentation, keys, pages
from serving.store.access import AccessStore
from serving.store.database import Database
from serving.store.keys import KeyOrder

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PASSWORD = "correct horse 42"
DEPARTMENT = "commerce"


@dataclass
class Clock:
    """The time of day and the monotonic seconds that the app under test sees."""

    now: datetime = NOON
    ticks: float = 0.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(database: Database, taxonomy: Taxonomy, clock: Clock) -> AccessStore:
    cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    return AccessStore(database, taxonomy, hasher=cheap, clock=lambda: clock.now, monotonic=lambda: clock.ticks)


@pytest.fixture
def app(access: AccessStore) -> FastAPI:
    """The pages and the routes of keys, and beside them a route for each role, one for any, one that changes things."""
    app = FastAPI(redirect_slashes=False, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.runtime = SimpleNamespace(access=access)
    for router in (_routes(), pages.router, keys.router, documentation.router):
        app.include_router(router)
    app.mount(documentation.ASSETS_URL, StaticFiles(directory=documentation.ASSETS))
    app.mount(pages.STATIC_URL, StaticFiles(directory=pages.STATIC))
    for kind in (HTTPException, RequestValidationError, InputError, Refusal):
        app.add_exception_handler(kind, answer_problem)

    @app.middleware("http")
    async def name_request(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        request.state.request_id = "r-1"
        return await call(request)

    return app


def _routes() -> APIRouter:
    router = APIRouter()

    def told(who: Principal) -> dict[str, Any]:
        return {"actor": who.actor, "role": who.role, "source": who.source, "department": who.department}

    for role in Role:

        @router.get(f"/only/{role}")
        async def only(who: Annotated[Principal, Depends(require(role))]) -> dict[str, Any]:
            return told(who)

    @router.get("/any")
    async def anybody(who: Annotated[Principal, Depends(require_any())]) -> dict[str, Any]:
        return told(who)

    @router.get("/twice", dependencies=[Depends(require_any())])
    async def twice(who: Annotated[Principal, Depends(require(Role.ADMIN))]) -> dict[str, Any]:
        return told(who)

    @router.api_route("/change", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    async def change(who: Annotated[Principal, Depends(require_any())]) -> dict[str, Any]:
        return told(who)

    return router


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    """A caller that follows no redirect."""
    return TestClient(app, follow_redirects=False)


KeyOf = Callable[..., dict[str, str]]


@pytest.fixture
def key_of(access: AccessStore) -> KeyOf:
    """Headers with a new key of a role and of its scope."""

    def make(role: Role, **wanted: Any) -> dict[str, str]:
        scope = {Role.CASE_SYSTEM: {"source": "hotline"}, Role.DEPARTMENT: {"department": DEPARTMENT}}.get(role, {})
        made = access.keys.create("test", KeyOrder(name=f"{role}-key", role=role, **{**scope, **wanted}))
        return {"Authorization": f"Bearer {made.secret}"}

    return make
