"""What people do with a lead: correct it, give it back, look up the original."""

import re
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Request
from starlette.responses import Response

from serving.access import Principal, Role, require
from serving.bodies import read_body, read_model
from serving.errors import PreconditionMissing
from serving.lead_wire import (
    CorrectionRequest,
    LeadJson,
    ReturnRequest,
    RevealJson,
    RevealRequest,
    lead_json,
    reveal_json,
)
from serving.problems import documented
from serving.routes.lead_examples import CORRECTION_BODY, RETURN_BODY, REVEAL_BODY
from serving.routes.leads import LeadId, etag
from serving.runtime import Runtime, runtime_of
from serving.store.corrections import Change
from serving.wire import Json

MOST_BYTES = 64 * 1024
_TAG = re.compile(r'"(\d{1,9})"')
Reviewer = Annotated[Principal, Depends(require(Role.REVIEWER))]
Department = Annotated[Principal, Depends(require(Role.DEPARTMENT))]
Identity = Annotated[Principal, Depends(require(Role.IDENTITY))]
IfMatch = Annotated[
    str | None, Header(max_length=1000, description="读取时的 ETag；期间被别人改过则回答 412，* 表示不论版本")
]
router = APIRouter(tags=["leads"])


@router.post(
    "/v1/leads/{id}/corrections",
    operation_id="correctLead",
    summary="更正或同意标签",
    response_model=LeadJson,
    responses=documented(400, 401, 403, 404, 412, 413, 415, 422, 428, 429, 503),
    openapi_extra={"requestBody": CORRECTION_BODY},
)
async def correct(request: Request, who: Reviewer, id: LeadId, if_match: IfMatch = None) -> Response:
    """审核员决定一条投诉的标签；不变也会记下，算作同意。"""
    versions = _versions(if_match)
    asked = read_model(await read_body(request, MOST_BYTES), CorrectionRequest)
    types = None if asked.misconduct is None else tuple(asked.misconduct)
    change = Change(
        misconduct=types, department=asked.department, urgency=asked.urgency, reason=asked.reason, remark=asked.remark
    )
    runtime = runtime_of(request)
    await run_sync(runtime.corrections.correct, who, id, versions, change)
    return await _now(runtime, who, id)


@router.post(
    "/v1/leads/{id}/returns",
    operation_id="returnLead",
    summary="退回一条不归本部门的投诉",
    response_model=LeadJson,
    responses=documented(400, 401, 403, 404, 412, 413, 415, 422, 428, 429, 503),
    openapi_extra={"requestBody": RETURN_BODY},
)
async def give_back(request: Request, who: Department, id: LeadId, if_match: IfMatch = None) -> Response:
    """承办部门的反馈，由审核员决定是否成立；标签暂不改变。"""
    versions = _versions(if_match)
    asked = read_model(await read_body(request, MOST_BYTES), ReturnRequest)
    runtime = runtime_of(request)
    await run_sync(runtime.corrections.give_back, who, id, versions, Change(reason=asked.reason, remark=asked.remark))
    return await _now(runtime, who, id)


@router.post(
    "/v1/leads/{id}/reveal",
    operation_id="revealLead",
    summary="查看原文",
    response_model=RevealJson,
    responses=documented(400, 401, 403, 404, 413, 415, 422, 429, 503),
    openapi_extra={"requestBody": REVEAL_BODY},
)
async def reveal(request: Request, who: Identity, id: LeadId) -> Response:
    """未隐去个人信息的原文。谁在何时为何查看，先记入审计链再给出。"""
    asked = read_model(await read_body(request, MOST_BYTES), RevealRequest)
    complaint = await run_sync(runtime_of(request).leads.reveal, who, id, asked.purpose)
    return Json(reveal_json(id, complaint), headers={"Cache-Control": "no-store"})


def _versions(if_match: str | None) -> frozenset[int] | None:
    """The versions that If-Match names; None for any. Raises PreconditionMissing."""
    if if_match is None:
        raise PreconditionMissing
    if if_match.strip() == "*":
        return None
    return frozenset(int(version) for version in _TAG.findall(if_match))


async def _now(runtime: Runtime, who: Principal, id: LeadId) -> Response:
    runtime.deliverer.wake()
    lead = await run_sync(runtime.leads.get, who, id)
    return Json(lead_json(lead, who.role), headers={"ETag": etag(lead)})
