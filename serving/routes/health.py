"""What keeps the service running asks: is the process alive, can it take requests, how is it doing."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from serving.access import Principal, Role, require
from serving.errors import DatabaseUnavailable, NotReady
from serving.metrics import CONTENT_TYPE, State
from serving.problems import documented
from serving.runtime import runtime_of
from serving.wire import VersionsJson, versions_json

SILENT = 60.0  # seconds without a look at the outbox after which something must be wrong with the service itself
Watcher = Annotated[Principal, Depends(require(Role.MONITOR, Role.SUPERVISOR, Role.ADMIN))]

router = APIRouter(tags=["operations"])


class HealthJson(TypedDict):
    """进程在运行。"""

    status: Annotated[str, Field(description="ok")]


class ReadinessJson(TypedDict):
    """可以受理请求。"""

    status: Annotated[str, Field(description="ready")]
    degraded: Annotated[bool, Field(description="模型暂时不能用，只按规则研判，恢复后会重新研判")]
    outbox_age_seconds: Annotated[float, Field(ge=0, description="最早一条还没有送达的消息有多少秒了")]
    versions: VersionsJson


@router.get("/healthz", operation_id="health", summary="进程是否在运行")
async def health() -> HealthJson:
    """进程在运行即回答 200，不看模型和数据库。"""
    return HealthJson(status="ok")


@router.get("/readyz", operation_id="readiness", summary="能否受理请求", responses=documented(503))
async def readiness(request: Request) -> ReadinessJson:
    """模型已载入、数据库可用、消息在发送，则回答 200 及版本，否则 503。接收方的故障不算在内，见 outbox_age_seconds。"""
    runtime = runtime_of(request)
    outbox = await runtime.probe.outbox()
    if outbox is None:
        raise DatabaseUnavailable("数据库暂时不能用。")
    if runtime.deliverer.silent_seconds > SILENT:
        raise NotReady("消息发送已停止。", code="outbox_stopped")
    return ReadinessJson(
        status="ready",
        degraded=runtime.engine.degraded,
        outbox_age_seconds=round(outbox.age_seconds, 1),
        versions=versions_json(runtime.triager.versions),
    )


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="运行指标（Prometheus 文本格式）",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **documented(401, 403, 429, 503)},
)
async def metrics(request: Request, who: Watcher) -> Response:
    """请求、研判、标签分布、把握、规则命中、消息积压与分布漂移。不含任何投诉内容、编号或姓名。"""
    runtime = runtime_of(request)
    outbox = await runtime.probe.outbox()
    state = State(queue_depth=runtime.engine.depth, degraded=runtime.engine.degraded, outbox=outbox)
    return Response(runtime.metrics.render(state), media_type=CONTENT_TYPE)
