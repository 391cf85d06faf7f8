"""Storing leads and reading them."""

from collections.abc import Sequence
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.responses import Response

from data.errors import InputError
from serving.access import Principal, Role, require
from serving.bodies import read_body, read_json, read_model, rejected_json
from serving.dates import moment_of
from serving.errors import DatabaseUnavailable
from serving.intake import take_in
from serving.lead_wire import (
    HistoryJson,
    LeadJson,
    LeadPageJson,
    LeadsEnvelope,
    ResultsJson,
    lead_json,
    read_lead,
    result_json,
    step_json,
)
from serving.problems import RequestRefused, documented
from serving.routes.lead_examples import BATCH_BODY, LEAD_BODY
from serving.runtime import Runtime, runtime_of
from serving.store.idempotency import Placed, RequestKey
from serving.store.lead_queries import Filters, history, page
from serving.store.lead_rows import Lead, Status
from serving.store.leads import Outcome, Sent, conflict
from serving.wire import Json

STORED_ZH = "已经保存，但数据库暂时读不出来；请用同一个 Idempotency-Key 或 external_id 重发，不会重复保存。"
REPLAYED = "Idempotency-Replayed"
Sender = Annotated[Principal, Depends(require(Role.CASE_SYSTEM))]
READERS = (Role.CASE_SYSTEM, Role.REVIEWER, Role.SUPERVISOR, Role.ADMIN, Role.DEPARTMENT, Role.IDENTITY)
Reader = Annotated[Principal, Depends(require(*READERS))]
LeadId = Annotated[str, Path(max_length=100, description="投诉的编号，保存时给出")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$",
        description="调用方为这次请求起的唯一键；重发时用同一个键，得到同样的回答，不会重复保存",
    ),
]  # fmt: skip
router = APIRouter(tags=["leads"])


@router.post(
    "/v1/leads",
    operation_id="createLead",
    summary="保存并研判一条投诉",
    status_code=201,
    response_model=LeadJson,
    responses={
        200: {"model": LeadJson, "description": "同一 external_id 的同样内容之前已保存"},
        **documented(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
    },
    openapi_extra={"requestBody": LEAD_BODY},
)
async def create_lead(request: Request, who: Sender, key: Key = None) -> Response:
    """external_id 相同而内容不同时回答 409。出错时除非回答里说明，什么也没有保存；
    可以用同一个 Idempotency-Key 重发，不会重复保存。"""
    runtime = runtime_of(request)
    body = await read_body(request, runtime.settings.max_body_bytes)
    known = _request_key(runtime, who, key, request, body)
    placed = await run_sync(runtime.leads.replay, known) if known else None
    replayed = placed is not None
    if placed is None:
        sent = await run_sync(lambda: read_lead(read_json(body)))
        placed = await take_in(runtime, who, [sent], known)
        replayed = _overtaken([sent], placed)
    (one,) = placed
    if one.outcome == Outcome.CONFLICT or one.lead_id is None:
        raise conflict()
    first = key is not None or one.outcome == Outcome.CREATED  # what a key was answered must stay the same
    lead = (await _leads(runtime, placed, first=first))[one.lead_id]
    status = 201 if one.outcome == Outcome.CREATED else 200
    request.state.counts = {"outcome": one.outcome}
    return Json(lead_json(lead, who.role), status, _headers(lead, replayed=replayed))


@router.post(
    "/v1/leads:batch",
    operation_id="createLeads",
    summary="保存并研判一批投诉",
    response_model=ResultsJson,
    responses=documented(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
    openapi_extra={"requestBody": BATCH_BODY},
)
async def create_leads(request: Request, who: Sender, key: Key = None) -> Response:
    """一次最多 500 条。每条的结果按原顺序给出；有误的不影响其余各条。"""
    runtime = runtime_of(request)
    body = await read_body(request, runtime.settings.max_body_bytes)
    rows = read_model(body, LeadsEnvelope).leads
    most = runtime.settings.max_complaints
    if len(rows) > most:
        raise RequestRefused("too_many_complaints", f"一次最多 {most} 条投诉，这里有 {len(rows)} 条，请分批发送")
    known = _request_key(runtime, who, key, request, body)
    parsed = await run_sync(_parse, rows)
    placed = await run_sync(runtime.leads.replay, known) if known else None
    replayed = placed is not None
    if placed is None:
        good = [one for one in parsed if isinstance(one, Sent)]
        placed = await take_in(runtime, who, good, known)
        replayed = _overtaken(good, placed)
    found = await _leads(runtime, placed, first=True)
    results, left = [], iter(placed)
    for index, one in enumerate(parsed):
        if isinstance(one, Sent):
            results.append(_result(index, next(left), found))
        else:
            why = rejected_json(one, rows[index], index)
            results.append(
                result_json(index, Outcome.REJECTED, code=why["code"], detail=why["detail"], field=why["field"])
            )
    request.state.counts = {"stored": sum(one.outcome == Outcome.CREATED for one in placed), "sent": len(rows)}
    return Json(ResultsJson(leads=results), headers={REPLAYED: "true"} if replayed else None)


def _overtaken(sent: Sequence[Sent], placed: Sequence[Placed]) -> bool:
    """Whether the same request was answered elsewhere while this one was triaged."""
    own = {one.complaint.id for one in sent}
    return any(one.outcome == Outcome.CREATED and one.lead_id not in own for one in placed)


def _parse(rows: list[Any]) -> list[Sent | InputError]:
    found: list[Sent | InputError] = []
    for index, row in enumerate(rows):
        try:
            found.append(read_lead(row, f"leads[{index}]"))
        except InputError as error:
            found.append(error)
    return found


def _result(index: int, placed: Placed, found: dict[str, Lead]) -> Any:
    if placed.lead_id is None:
        why = conflict()
        return result_json(index, placed.outcome, code=why.code, detail=why.zh, field="external_id")
    return result_json(index, placed.outcome, found.get(placed.lead_id))


def _request_key(runtime: Runtime, who: Principal, key: str | None, request: Request, body: bytes) -> RequestKey | None:
    if key is None:
        return None
    digest = runtime.database.keyring.digest("idempotency", request.url.path.encode() + b"\n" + body)
    return RequestKey(source=who.source or "", key=key, digest=digest)


async def _leads(runtime: Runtime, placed: tuple[Placed, ...], *, first: bool) -> dict[str, Lead]:
    """The leads that were placed; raises DatabaseUnavailable saying that they are stored all the same."""
    ids = [one.lead_id for one in placed if one.lead_id is not None]
    try:
        return await run_sync(lambda: runtime.leads.many(ids, first=first))
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(STORED_ZH, code="stored_unread") from error


def _headers(lead: Lead, *, replayed: bool = False) -> dict[str, str]:
    return {"ETag": etag(lead), "Location": f"/v1/leads/{lead.id}", **({REPLAYED: "true"} if replayed else {})}


def etag(lead: Lead) -> str:
    """The ETag of a lead: its version."""
    return f'"{lead.version}"'


@router.get(
    "/v1/leads",
    operation_id="listLeads",
    summary="投诉列表，新的在前",
    response_model=LeadPageJson,
    responses=documented(401, 403, 422, 429, 503),
)
async def list_leads(
    request: Request,
    who: Reader,
    misconduct: Annotated[str | None, Query(max_length=64, description="反映的问题（编号）")] = None,
    department: Annotated[str | None, Query(max_length=64, description="责任部门（编号）")] = None,
    card: Annotated[str | None, Query(max_length=16, description="牌色：blue、yellow、red")] = None,
    level: Annotated[str | None, Query(max_length=16, description="可靠程度：auto、preselected、recommend")] = None,
    status: Annotated[Status | None, Query(description="状态")] = None,
    channel: Annotated[str | None, Query(max_length=16, description="来源渠道（编号）")] = None,
    external_id: Annotated[str | None, Query(max_length=200, description="调用方自己的编号")] = None,
    source: Annotated[str | None, Query(max_length=64, description="来源系统")] = None,
    received_from: Annotated[str | None, Query(max_length=40, description="收到的时间，起：日期或带时区的时间")] = None,
    received_to: Annotated[str | None, Query(max_length=40, description="收到的时间，止：日期含当日，时间不含")] = None,
    q: Annotated[
        str | None, Query(min_length=2, max_length=100, description="文中的词，至少两个字；多个以空格分开")
    ] = None,
    cursor: Annotated[str | None, Query(max_length=100, description="上一页回答中的 next")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="一页最多几条")] = 50,
) -> Response:
    """只列出调用者有权看的；文本都隐去了个人信息，检索也只在隐去后的文本中进行。"""
    filters = Filters(
        misconduct=misconduct, department=department, card=card, level=level, status=status, channel=channel,
        external_id=external_id, source=source, received_from=moment_of(received_from, "received_from"),
        received_to=moment_of(received_to, "received_to", end=True), query=q,
    )  # fmt: skip
    found = await run_sync(page, runtime_of(request).database, who, filters, cursor, limit)
    shown = [lead_json(lead, who.role) for lead in found.leads]
    return Json(LeadPageJson(leads=shown, next=found.next))


@router.get(
    "/v1/leads/{id}",
    operation_id="getLead",
    summary="一条投诉",
    response_model=LeadJson,
    responses={304: {"description": "与 If-None-Match 所给的版本相同"}, **documented(401, 403, 404, 429, 503)},
)
async def get_lead(
    request: Request,
    who: Reader,
    id: LeadId,
    if_none_match: Annotated[str | None, Header(max_length=1000, description="已有的版本（ETag）")] = None,
) -> Response:
    """文本隐去了个人信息；ETag 是版本，更正时要带上。"""
    lead = await run_sync(runtime_of(request).leads.get, who, id)
    if if_none_match is not None and {etag(lead), "*"} & {_strong(tag) for tag in if_none_match.split(",")}:
        return Response(status_code=304, headers={"ETag": etag(lead)})
    return Json(lead_json(lead, who.role), headers=_headers(lead))


def _strong(tag: str) -> str:
    return tag.strip().removeprefix("W/")


@router.get(
    "/v1/leads/{id}/history",
    operation_id="getLeadHistory",
    summary="一条投诉的经过",
    response_model=HistoryJson,
    responses=documented(401, 403, 404, 429, 503),
)
async def lead_history(request: Request, who: Reader, id: LeadId) -> Response:
    """每次研判、更正、退回和发出的消息，先发生的在前。"""
    steps = await run_sync(history, runtime_of(request).database, who, id)
    return Json(HistoryJson(id=id, steps=[step_json(step) for step in steps]))
