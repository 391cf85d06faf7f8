"""From a complaint that is sent in to the message about it that arrives elsewhere."""

import json
from collections.abc import Callable
from typing import Any

WORDS = "我叫张建国，电话 13800138000。我们楼道里闻到很浓的煤气味，都不敢开灯，赶紧派人来"


def test_what_happens_to_a_lead_is_told_without_its_words(
    open_service: Any, receive: Any, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    receiver = receive()
    with open_service() as client:
        assert client.post("/v1/webhooks", json={"url": receiver.url}).status_code == 201
        lead = client.post("/v1/leads", json={"text": WORDS, "external_id": "E-1", "channel": "hotline"}).json()
        eventually(lambda: len(receiver.received) >= 1)
        asked = client.get("/v1/events").json()["events"]
        eventually(lambda: len(receiver.received) == len(asked))
    told = {event["id"]: event for event in (json.loads(got.body) for got in receiver.received)}
    assert told == {event["id"]: event for event in asked}
    first = asked[0]
    assert (first["type"], first["source"], first["subject"]) == ("lead.triaged", "urn:fenzhen:hotline", lead["id"])
    assert first["data"]["external_id"] == "E-1"
    assert first["data"]["department"] == lead["triage"]["department"]["id"]
    assert [event["type"] for event in asked] == ["lead.triaged", "lead.red_card"]
    for got in receiver.received:
        assert got.body.isascii() and b"13800138000" not in got.body, "words of the complaint"
        assert "13800138000" not in str(got.headers)
