"""Events against the attributes that CloudEvents 1.0 asks for (spec.md and formats/json-format.md)."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from serving.cloud_events import cloud_event, trial
from serving.event_types import EventType
from serving.store.outbox import Event
from serving.store.subscriptions import Subscription

NOON = datetime(2026, 3, 2, 12, 0, 0, 250_000, tzinfo=UTC)
EVENT = Event(
    seq=7,
    id="6f9f3f0e-0c3c-4d4e-9a53-0d8c8d7f4a11",
    type=EventType.RED_CARD,
    source="hotline-2.county_a",
    lead_id="0b1f6f0e-7d2b-4b0a-8f0e-2f6a3d5c9e10",
    time=NOON,
    data={"version": 1, "card": "red"},
)
SUBSCRIPTION = Subscription(
    id="1b1f6f0e-7d2b-4b0a-8f0e-2f6a3d5c9e10", url="http://a/", types=(), source=None, created_at=NOON, disabled_at=None
)
REQUIRED = {"id", "source", "specversion", "type"}
OPTIONAL = {"datacontenttype", "dataschema", "subject", "time"}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
URI = re.compile(r"[a-z][a-z0-9+.-]*:[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]+")
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def conforms(message: dict[str, Any]) -> None:
    assert message.keys() >= REQUIRED
    for name, value in message.items():
        assert re.fullmatch("[a-z0-9]{1,20}", name)
        assert name in REQUIRED | OPTIONAL | {"data"}, f"{name} would be an extension"
        if name != "data":
            assert isinstance(value, str) and value and not CONTROL.search(value)
    assert message["specversion"] == "1.0"
    assert URI.fullmatch(message["source"])
    assert RFC3339.fullmatch(message["time"])
    assert message["datacontenttype"] == "application/json"


@pytest.mark.parametrize("type", list(EventType))
def test_every_type_of_event_conforms(type: EventType) -> None:
    event = Event(**{**{name: getattr(EVENT, name) for name in Event.__slots__}, "type": type})
    message = json.loads(json.dumps(cloud_event(event)))
    conforms(message)
    assert message["type"] == type.value
    assert message["data"] == {"version": 1, "card": "red"}


def test_an_event_says_which_and_of_what_and_when() -> None:
    message = cloud_event(EVENT)
    assert (message["id"], message["subject"]) == (EVENT.id, EVENT.lead_id)
    assert message["source"] == "urn:fenzhen:hotline-2.county_a"
    assert datetime.fromisoformat(message["time"]) == NOON


def test_a_trial_conforms_and_is_a_new_one_each_time() -> None:
    first, second = trial(SUBSCRIPTION, NOON), trial(SUBSCRIPTION, NOON + timedelta(hours=1))
    conforms(dict(first))
    assert first["type"] == "webhook.test" and first["subject"] == SUBSCRIPTION.id
    assert first["id"] != second["id"]
