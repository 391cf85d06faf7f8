"""What happened to leads, for systems that ask instead of being told; and telling everyone once more."""

from collections.abc import Sequence
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from serving.access import Principal, Role, require
from serving.cloud_events import CloudEventJson, cloud_event
from serving.event_types import EventType
from serving.problems import documented
from serving.runtime import runtime_of
from serving.store.outbox import events_after, replay
from serving.wire import Json

MOST = 500
EXAMPLE = {
    "events": [
        {
            "specversion": "1.0",
            "id": "6f9f3f0e-0c3c-4d4e-9a53-0d8c8d7f4a11",
            "source": "urn:fenzhen:hotline",
            "type": "lead.red_card",
            "subject": "0b1f6f0e-7d2b-4b0a-8f0e-2f6a3d5c9e10",
            "time": "2026-03-02T12:00:00+00:00",
            "datacontenttype": "application/json",
            "data": {
                "external_id": "2026-0001",
                "version": 1,
                "status": "waiting",
                "misconduct": ["buck_passing"],
                "department": "emergency_management",
                "card": "red",
                "level": "recommend",
                "degraded": False,
                "bundle": "starter-0123456789ab",
            },
        }
    ],
    "next": "42",
    "more": False,
}
Reader = Annotated[Principal, Depends(require(Role.CASE_SYSTEM, Role.REVIEWER, Role.SUPERVISOR, Role.ADMIN))]
Admin = Annotated[Principal, Depends(require(Role.ADMIN))]


class EventsJson(TypedDict):
    """一页消息，先发生的在前。"""

    events: list[CloudEventJson]
    next: Annotated[str, Field(description="下次请求的 after，没有新消息时也给出；请原样带回，不要解读")]
    more: Annotated[bool, Field(description="此刻是否还有后续消息")]


class ReplayJson(TypedDict):
    """重发一条消息。"""

    id: str
    receivers: Annotated[int, Field(description="将重新发给几个接收方")]


router = APIRouter(tags=["events"])


@router.get(
    "/v1/events",
    operation_id="listEvents",
    summary="某条消息之后的消息",
    response_model=EventsJson,
    responses={
        200: {"content": {"application/json": {"example": EXAMPLE}}},
        **documented(401, 403, 422, 429, 503),
    },
)
async def list_events(
    request: Request,
    who: Reader,
    after: Annotated[str, Query(pattern="^[0-9]{1,18}$", description="上次回答中的 next；不给则从最早的消息起")] = "0",
    types: Annotated[Sequence[EventType], Query(description="只要这些类型，可重复给出；不给则全部")] = (),
    limit: Annotated[int, Query(ge=1, le=MOST, description="一页最多几条")] = 100,
) -> Response:
    """供不便接收推送的系统定期来取：每次带上前一次的 next，不会漏掉也不会重复。

    业务系统只看到自己报送的投诉的消息；审核员、督办员、管理员看到全部。
    """
    page = await run_sync(events_after, runtime_of(request).database, who.source, int(after), types, limit)
    found = [cloud_event(event) for event in page.events]
    return Json(EventsJson(events=found, next=str(page.last), more=page.more))


@router.post(
    "/v1/events/{id}:replay",
    operation_id="replayEvent",
    summary="重发一条消息",
    status_code=202,
    response_model=ReplayJson,
    responses=documented(401, 403, 404, 429, 503),
)
async def replay_event(request: Request, id: Annotated[str, Path(description="消息的编号")], who: Admin) -> Response:
    """把这条消息重新发给目前订阅了它的所有接收方，包括已经收到过的；消息编号不变，接收方可据此去重。"""
    runtime = runtime_of(request)
    receivers = await run_sync(replay, runtime.database, who.actor, id)
    runtime.deliverer.wake()
    return Json(ReplayJson(id=id, receivers=receivers), 202)
