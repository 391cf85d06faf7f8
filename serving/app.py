"""The HTTP service: ``create_app``. What is decided is decided by ``models.triage.Triager``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from data.errors import FenzhenError, InputError
from models.triage import Triager
from serving.bodies import TriageRequest
from serving.errors import Refusal
from serving.lead_wire import CorrectionRequest, LeadsRequest, ReturnRequest, RevealRequest
from serving.problems import Problem, answer_problem
from serving.request_scope import RequestScope
from serving.routes import decisions, documentation, events, health, keys, leads, pages, triage, webhooks
from serving.runtime import running
from serving.settings import Settings, load_settings

TAGS = {
    "triage": "研判：只研判，不保存",
    "leads": "投诉：保存、查询、更正、退回、查看原文",
    "events": "消息：CloudEvents 消息与推送订阅",
    "keys": "密钥",
    "operations": "运行：探针与指标",
}


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    try:
        async with running(app.state.settings, app.state.triager) as app.state.runtime:
            yield
    except FenzhenError as error:
        app.state.failure = error  # for whoever runs the server: uvicorn only logs that it failed
        raise
    finally:
        app.state.runtime = None


def create_app(settings: Settings | None = None, triager: Triager | None = None) -> FastAPI:
    """The service. Without ``triager`` it is loaded when the service starts, which raises PolicyError or BundleError.

    Raises SettingsError if ``settings`` is not given and the environment's are wrong.
    """
    app = FastAPI(
        title="分诊 Fenzhen",
        version="1",
        description="投诉研判：反映的问题、责任部门、紧急程度，每个标签都附原文证据。只提供建议，由人决定。",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        openapi_tags=[{"name": name, "description": zh} for name, zh in TAGS.items()],
        lifespan=_running,
        redirect_slashes=False,
    )
    app.state.settings = settings or load_settings()
    app.state.triager, app.state.runtime, app.state.failure = triager, None, None
    for routes in (triage, leads, decisions, events, webhooks, keys, health, pages, documentation):
        app.include_router(routes.router)
    app.mount(documentation.ASSETS_URL, StaticFiles(directory=documentation.ASSETS))
    app.mount(pages.STATIC_URL, StaticFiles(directory=pages.STATIC))
    app.add_middleware(RequestScope)
    for kind in (HTTPException, RequestValidationError, InputError, Refusal):
        app.add_exception_handler(kind, answer_problem)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Put the schemas that no route declares by itself into the OpenAPI document."""
    asked = (TriageRequest, LeadsRequest, CorrectionRequest, ReturnRequest, RevealRequest)
    inputs = [(kind.__name__, "validation", TypeAdapter(kind)) for kind in asked]
    inputs.append(("Problem", "serialization", TypeAdapter(Problem)))  # type: ignore[arg-type]
    _, extra = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    app.openapi()["components"]["schemas"].update(extra["$defs"])
