"""The HTTP service: ``create_app`` and its routes. What is decided is decided by ``models.triage.Triager``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from data.errors import InputError
from data.policy_files import load_policy
from models.triage import Triager
from serving.bodies import TriageRequest, read_batch, read_body
from serving.catalogue import TaxonomyJson, taxonomy_json
from serving.problems import MEDIA_TYPE, NotReady, Problem, answer_problem
from serving.request_scope import RequestScope
from serving.settings import Settings, load_settings
from serving.wire import Json, TriageAnswer, triage_json, versions_json

EXAMPLES = {
    "text": {
        "summary": "一段话，带来源渠道",
        "value": {
            "complaints": [
                {
                    "id": "2024-0001",
                    "channel": "qr",
                    "text": "我家饭馆换证，材料交齐快两个月了。窗口让找县市监局，市监局又说归镇里管，推来推去没人接。",
                }
            ]
        },
    },
    "turns": {
        "summary": "热线通话，按轮次",
        "value": {
            "complaints": [
                {
                    "id": "call-17",
                    "channel": "hotline",
                    "turns": [
                        {"speaker": "agent", "text": "您好，请问有什么可以帮您？"},
                        {"speaker": "citizen", "text": "我们楼后面的挡土墙裂了，今早还在掉石头，下面就是幼儿园。"},
                    ],
                }
            ]
        },
    },
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, description in {
        400: "请求体不是 UTF-8 编码的 JSON",
        413: "请求体过大",
        415: "Content-Type 不是 application/json",
        422: "没有一条投诉可以受理，或请求本身有误",
        500: "服务内部错误",
        503: "模型尚未载入",
    }.items()
}
_REQUEST_BODY = {
    "required": True,
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TriageRequest"}, "examples": EXAMPLES}},
}

SETTLED = 0.5  # seconds after which a starting server has answered its first probe

router = APIRouter()


@router.post(
    "/v1/triage",
    operation_id="triage",
    summary="研判一批投诉",
    response_model=TriageAnswer,
    responses=_PROBLEMS,
    openapi_extra={"requestBody": _REQUEST_BODY},
)
async def triage(request: Request) -> Response:
    """每条投诉给出三类标签（反映问题、责任部门、紧急程度）及证据。不保存任何内容。

    有误的投诉列在 rejected，不影响其余各条；没有一条可受理时回答 422。
    """
    triager, settings = _triager(request), request.app.state.settings
    body = await read_body(request, settings.max_body_bytes)
    batch = await run_sync(read_batch, body, settings.max_complaints)
    found = await run_sync(triager.triage, batch.complaints, limiter=request.app.state.inference)
    request.state.counts = {"triaged": len(found), "rejected": len(batch.rejected)}
    triages = [triage_json(one, triager.policy) for one in found]
    return Json(TriageAnswer(request_id=request.state.request_id, triages=triages, rejected=list(batch.rejected)))


@router.get(
    "/v1/taxonomy",
    operation_id="taxonomy",
    summary="标签、条款与版本",
    response_model=TaxonomyJson,
    responses={503: _PROBLEMS[503]},
)
async def taxonomy(request: Request) -> Response:
    """回答中各编号的含义：问题类型及其大类与条款、责任部门、紧急程度，以及摘要值。"""
    triager = _triager(request)
    return Json(taxonomy_json(triager.policy, triager.versions))


@router.get("/healthz", operation_id="health", summary="进程是否在运行")
async def health() -> dict[str, str]:
    """进程在运行即回答 200。"""
    return {"status": "ok"}


@router.get("/readyz", operation_id="readiness", summary="能否受理请求", responses={503: _PROBLEMS[503]})
async def readiness(request: Request) -> dict[str, Any]:
    """模型已载入则回答 200 及版本，否则 503。"""
    return {"status": "ready", "versions": versions_json(_triager(request).versions)}


def _triager(request: Request) -> Triager:
    triager: Triager | None = request.app.state.triager
    if triager is None:
        raise NotReady
    return triager


@asynccontextmanager
async def _loaded(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    if app.state.triager is None:
        app.state.triager = Triager.load(settings.bundle, load_policy(settings.policy_dir), settings.threads)
    app.state.triager.rules.dictionary.warm_up(after=SETTLED)
    yield


def create_app(settings: Settings | None = None, triager: Triager | None = None) -> FastAPI:
    """The service. Without ``triager`` it is loaded when the service starts, which raises PolicyError or BundleError.

    Raises SettingsError if ``settings`` is not given and the environment's are wrong.
    """
    app = FastAPIOffline(
        title="分诊 Fenzhen",
        version="1",
        description="投诉研判：反映的问题、责任部门、紧急程度，每个标签都附原文证据。只提供建议，由人决定。",
        redoc_url=None,
        lifespan=_loaded,
        redirect_slashes=False,
        swagger_ui_parameters={"validatorUrl": None},
    )
    app.state.settings = settings or load_settings()
    app.state.triager = triager
    app.state.inference = anyio.CapacityLimiter(1)
    app.include_router(router)
    app.add_middleware(RequestScope)
    for kind in (HTTPException, RequestValidationError, InputError, NotReady):
        app.add_exception_handler(kind, answer_problem)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Put the schemas that no route declares by itself into the OpenAPI document."""
    inputs = [("request", "validation", TypeAdapter(TriageRequest)), ("problem", "serialization", TypeAdapter(Problem))]
    _, extra = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    app.openapi()["components"]["schemas"].update(extra["$defs"])
