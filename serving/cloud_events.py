"""Events as they leave the house: CloudEvents 1.0 in structured JSON mode."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from serving.event_types import EVENTS_ZH
from serving.store.ids import new_id
from serving.store.outbox import Event
from serving.store.subscriptions import Subscription

TEST = "webhook.test"  # a message that only shows whether messages arrive
MEDIA_TYPE = "application/cloudevents+json"
SPEC_VERSION = "1.0"
URN = "urn:fenzhen:"


class CloudEventJson(TypedDict):
    """一条消息（CloudEvents 1.0）。只有编号、标签和版本，没有投诉的内容。"""

    specversion: Annotated[str, Field(description="CloudEvents 的版本，恒为 1.0")]
    id: Annotated[str, Field(description="消息编号；重发时不变，可据此去重")]
    source: Annotated[str, Field(description="urn:fenzhen:来源系统")]
    type: Annotated[str, Field(description=EVENTS_ZH)]
    subject: Annotated[str, Field(description="投诉的编号，见 GET /v1/leads/{id}")]
    time: Annotated[str, Field(description="发生的时间（RFC 3339，UTC）")]
    datacontenttype: Annotated[str, Field(description="恒为 application/json")]
    data: Annotated[dict[str, Any], Field(description="详情：调用方的编号、版本、状态、标签、模型包")]


def cloud_event(event: Event) -> CloudEventJson:
    """The JSON of an event."""
    return _cloud_event(event.id, event.source, event.type.value, event.lead_id, event.time, event.data)


def trial(subscription: Subscription, now: datetime) -> CloudEventJson:
    """A message about nothing to a subscriber, of type ``TEST``; its subject is the subscription."""
    return _cloud_event(new_id(), subscription.source or "all", TEST, subscription.id, now, {})


def _cloud_event(
    id: str, source: str, type: str, subject: str, time: datetime, data: Mapping[str, Any]
) -> CloudEventJson:
    return CloudEventJson(
        specversion=SPEC_VERSION,
        id=id,
        source=URN + source,
        type=type,
        subject=subject,
        time=time.isoformat(),
        datacontenttype="application/json",
        data=dict(data),
    )
