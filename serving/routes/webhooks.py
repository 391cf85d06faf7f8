"""Who is told of what happens to leads. A case system manages the subscriptions of its own source."""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from serving.access import Principal, Role, require
from serving.bodies import Strict, documented_body, read_body, read_model
from serving.cloud_events import CloudEventJson, cloud_event
from serving.errors import Forbidden
from serving.event_types import FAILURES_ZH, EventType
from serving.problems import documented
from serving.runtime import runtime_of
from serving.store.deliveries import DeadLetter, dead_letters
from serving.store.subscriptions import LONGEST_URL, Subscription, SubscriptionOrder, SubscriptionStore
from serving.webhook import try_out
from serving.wire import Json

MOST_BYTES = 16 * 1024
EXAMPLES = {
    "some": {
        "summary": "只接收两类消息",
        "value": {"url": "http://127.0.0.1:9000/fenzhen", "types": ["lead.triaged", "lead.red_card"]},
    },
    "all": {
        "summary": "接收所有消息，自带签名密钥",
        "value": {
            "url": "http://127.0.0.1:9000/fenzhen",
            "secret": "whsec_ZXhhbXBsZSBvbmx5LCBuZXZlciB1c2UgdGhpcyBvbmU=",
        },
    },
}
Manager = Annotated[Principal, Depends(require(Role.CASE_SYSTEM, Role.ADMIN))]
Id = Annotated[str, Path(description="订阅的编号")]


class WebhookRequest(Strict):
    """要添加的订阅。"""

    url: str = Field(
        max_length=LONGEST_URL, description="接收地址，http:// 或 https:// 开头；可以是内网地址，不得含账号和密码"
    )
    types: list[Annotated[EventType, Field(strict=False)]] = Field(
        default=[], description="要接收的消息类型；不给则为目前的所有类型"
    )
    source: str | None = Field(
        default=None, max_length=64, description="只接收这个来源系统的消息；业务系统不必填，只能是自己"
    )
    secret: str | None = Field(
        default=None, max_length=200, description="签名密钥：whsec_ 加 24 到 64 个字节的 base64；不给则由系统生成"
    )


class WebhookJson(TypedDict):
    """一个订阅，不含签名密钥。"""

    id: str
    url: str
    types: list[EventType]
    source: Annotated[str | None, Field(description="只接收这个来源系统的消息；null 为全部")]
    created_at: str
    disabled_at: str | None
    waiting: Annotated[int, Field(description="几条消息等待发送或重试")]
    dead: Annotated[int, Field(description="几条消息多次发送不成，已搁置")]


class NewWebhookJson(WebhookJson):
    """新添加的订阅。"""

    secret: Annotated[str, Field(description="签名密钥，只在此时给出一次；验签方法见 Standard Webhooks")]


class WebhooksJson(TypedDict):
    """所有订阅，新的在前。"""

    webhooks: list[WebhookJson]


class DeadLetterJson(TypedDict):
    """多次发送不成而搁置的一条消息。"""

    webhook: Annotated[str, Field(description="订阅的编号")]
    attempts: Annotated[int, Field(description="发送过几次")]
    answered: Annotated[
        str | None,
        Field(description=f"最后一次的结果：HTTP 状态码，或 {FAILURES_ZH}"),
    ]
    event: CloudEventJson


class DeadLettersJson(TypedDict):
    """一页搁置的消息，新的在前。"""

    dead_letters: list[DeadLetterJson]
    next: Annotated[str | None, Field(description="下一页的 cursor；没有下一页时为 null")]


class TrialJson(TypedDict):
    """试发一条消息的结果。"""

    delivered: Annotated[bool, Field(description="接收方是否以 2xx 回答")]
    answered: Annotated[str, Field(description="HTTP 状态码或失败的原因，写法同搁置的消息")]


router = APIRouter(tags=["events"])


@router.post(
    "/v1/webhooks",
    operation_id="createWebhook",
    summary="添加一个订阅",
    status_code=201,
    response_model=NewWebhookJson,
    responses=documented(400, 401, 403, 409, 413, 415, 422, 429, 503),
    openapi_extra={"requestBody": documented_body(WebhookRequest, EXAMPLES)},
)
async def create_webhook(request: Request, who: Manager) -> Response:
    """此后发生的事以 CloudEvents 1.0（application/cloudevents+json）POST 到接收地址，按 Standard Webhooks 签名。

    回答 2xx 即为送达；否则在约 5 秒、30 秒、2 分、10 分、1 小时、6 小时、以后每 12 小时重试，12 次不成则搁置。
    至少送达一次，不保证先后，请按 webhook-id 去重。不跟随重定向；回答 410 则停用这个订阅。
    """
    wanted = read_model(await read_body(request, MOST_BYTES), WebhookRequest)
    if who.source is not None and wanted.source not in {None, who.source}:
        raise Forbidden("业务系统只能订阅自己报送的投诉的消息。")
    order = SubscriptionOrder(
        url=wanted.url, types=tuple(wanted.types), source=who.source or wanted.source, secret=wanted.secret
    )
    made = await run_sync(_store(request).create, who.actor, order)
    answer = NewWebhookJson(**_webhook_json(made.subscription), secret=made.secret)
    return Json(answer, 201, {"Cache-Control": "no-store"})


@router.get(
    "/v1/webhooks",
    operation_id="listWebhooks",
    summary="所有订阅",
    response_model=WebhooksJson,
    responses=documented(401, 403, 429, 503),
)
async def list_webhooks(request: Request, who: Manager) -> Response:
    """所有订阅，包括已停用的；业务系统只看到自己的。"""
    found = await run_sync(_store(request).list, who.source)
    return Json(WebhooksJson(webhooks=[_webhook_json(one) for one in found]))


@router.delete(
    "/v1/webhooks/{id}",
    operation_id="disableWebhook",
    summary="停用一个订阅",
    status_code=204,
    response_class=Response,
    responses=documented(401, 403, 404, 429, 503),
)
async def disable_webhook(request: Request, id: Id, who: Manager) -> Response:
    """不再发送任何消息，等待发送的也一并搁置；再次停用没有别的效果。"""
    await run_sync(lambda: _store(request).disable(who.actor, id, source=who.source))
    return Response(status_code=204)


@router.post(
    "/v1/webhooks/{id}:test",
    operation_id="testWebhook",
    summary="试发一条消息",
    response_model=TrialJson,
    responses=documented(401, 403, 404, 429, 503),
)
async def try_webhook(request: Request, id: Id, who: Manager) -> Response:
    """立即向接收地址发一条类型为 webhook.test 的消息，不重试，最多等 15 秒，回答发送的结果。"""
    found = await run_sync(_store(request).find, id, who.source)
    answer = await run_sync(try_out, found)
    return Json(TrialJson(delivered=answer.delivered, answered=str(answer)))


@router.get(
    "/v1/webhooks/dead-letters",
    operation_id="listDeadLetters",
    summary="搁置的消息",
    response_model=DeadLettersJson,
    responses=documented(401, 403, 422, 429, 503),
)
async def list_dead_letters(
    request: Request,
    who: Manager,
    cursor: Annotated[
        str | None, Query(pattern="^[0-9]{1,18}$", description="上一页回答中的 next；不给则从最新的起")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="一页最多几条")] = 100,
) -> Response:
    """多次发送不成而搁置的消息；修好接收方后可用 POST /v1/events/{id}:replay 重发。业务系统只看到自己的。"""
    database, before = runtime_of(request).database, None if cursor is None else int(cursor)
    page = await run_sync(lambda: dead_letters(database, who.source, before=before, limit=limit))
    letters = [_dead_letter_json(letter) for letter in page.letters]
    return Json(DeadLettersJson(dead_letters=letters, next=None if page.before is None else str(page.before)))


def _store(request: Request) -> SubscriptionStore:
    return SubscriptionStore(runtime_of(request).database)


def _webhook_json(one: Subscription) -> WebhookJson:
    return WebhookJson(
        id=one.id,
        url=one.url,
        types=list(one.types),
        source=one.source,
        created_at=one.created_at.isoformat(),
        disabled_at=one.disabled_at.isoformat() if one.disabled_at else None,
        waiting=one.waiting,
        dead=one.dead,
    )


def _dead_letter_json(letter: DeadLetter) -> DeadLetterJson:
    return DeadLetterJson(
        webhook=letter.subscription_id,
        attempts=letter.attempts,
        answered=letter.answered,
        event=cloud_event(letter.event),
    )
