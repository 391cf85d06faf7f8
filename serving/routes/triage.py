"""Triage without storing anything, and what the ids in an answer stand for."""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from serving.access import Principal, Role, require
from serving.bodies import read_batch, read_body
from serving.catalogue import TaxonomyJson, taxonomy_json
from serving.problems import documented
from serving.runtime import runtime_of
from serving.wire import Json, TriageAnswer, triage_json

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
_REQUEST_BODY = {
    "required": True,
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TriageRequest"}, "examples": EXAMPLES}},
}
Sender = Annotated[Principal, Depends(require(Role.CASE_SYSTEM, Role.REVIEWER, Role.SUPERVISOR, Role.ADMIN))]
Anybody = Annotated[Principal, Depends(require(*Role))]

router = APIRouter(tags=["triage"])


@router.post(
    "/v1/triage",
    operation_id="triage",
    summary="研判一批投诉，不保存",
    response_model=TriageAnswer,
    responses=documented(400, 401, 403, 408, 413, 415, 422, 429, 500, 503),
    openapi_extra={"requestBody": _REQUEST_BODY},
)
async def triage(request: Request, who: Sender) -> Response:
    """每条投诉给出三类标签（反映问题、责任部门、紧急程度）及证据。不保存任何内容。

    有误的投诉列在 rejected，不影响其余各条；没有一条可受理时回答 422。
    """
    runtime = runtime_of(request)
    body = await read_body(request, runtime.settings.max_body_bytes)
    batch = await run_sync(read_batch, body, runtime.settings.max_complaints)
    found = await runtime.engine.triage(batch.complaints)
    runtime.metrics.observe_triage(found, batch.complaints)
    request.state.counts = {"triaged": len(found), "rejected": len(batch.rejected)}
    triages = [triage_json(one, runtime.triager.policy) for one in found]
    return Json(TriageAnswer(request_id=request.state.request_id, triages=triages, rejected=list(batch.rejected)))


@router.get(
    "/v1/taxonomy",
    operation_id="taxonomy",
    summary="标签、条款与版本",
    response_model=TaxonomyJson,
    responses=documented(401, 429, 503),
)
async def taxonomy(request: Request, who: Anybody) -> Response:
    """回答中各编号的含义：问题类型及其大类与条款、责任部门、紧急程度，以及摘要值。"""
    triager = runtime_of(request).triager
    return Json(taxonomy_json(triager.policy, triager.versions))
