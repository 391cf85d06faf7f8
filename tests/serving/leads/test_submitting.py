"""A lead is stored once, however often and by whatever key it is sent."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from models.triage import Triager
from serving.errors import DatabaseUnavailable
from serving.store.audit import verify
from serving.store.schema import events, leads, metadata, predictions
from serving.wire import triage_json

KEY = {"Idempotency-Key": "request-1"}


def count(api: Any, table: Any) -> int:
    with api.runtime.database.reading() as connection:
        found: int = connection.execute(select(func.count()).select_from(table)).scalar_one()
        return found


def code(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    found: str = answer.json()["code"]
    return found


def test_a_lead_is_stored_with_what_the_triager_says(api: Any, triager: Triager, text: str) -> None:
    answer = api("POST", "/v1/leads", json={"external_id": "A-1", "text": text, "channel": "热线"})
    assert answer.status_code == 201
    lead = answer.json()
    assert (lead["external_id"], lead["channel"], lead["source"], lead["version"]) == ("A-1", "hotline", "hotline", 1)
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == f"/v1/leads/{lead['id']}"
    with api.runtime.database.reading() as connection:
        assert connection.execute(select(leads.c.id)).scalars().all() == [lead["id"]]
    from data.transcript import complaint_from_text

    decided = triager.triage([complaint_from_text(lead["id"], text)])[0]
    assert lead["triage"] == triage_json(decided, triager.policy)
    assert lead["tags"]["department"] == decided.department.id
    assert api("GET", f"/v1/leads/{lead['id']}").json() == lead


def test_turns_keep_their_places(api: Any) -> None:
    turns = [{"speaker": "agent", "text": "您好"}, {"speaker": "citizen", "text": "窗口没人，打13812345678也不接。"}]
    lead = api("POST", "/v1/leads", json={"turns": turns}).json()
    assert lead["redacted"] == "您好\n窗口没人，打***********也不接。"
    tags = [*lead["triage"]["misconduct"], lead["triage"]["department"], lead["triage"]["urgency"]]
    spans = [span for tag in tags for span in tag["evidence"]]
    assert spans
    for span in spans:
        said = lead["redacted"].split("\n")[span["turn"]]
        assert span["text"] == said[span["start"] : span["end"]]
        assert "138" not in span["text"]


def test_the_same_again_is_the_same_lead(api: Any, text: str) -> None:
    first = api("POST", "/v1/leads", json={"external_id": "A-1", "text": text})
    again = api("POST", "/v1/leads", json={"external_id": "A-1", "text": text})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert code(api("POST", "/v1/leads", json={"external_id": "A-1", "text": text + "急"}), 409) == (
        "external_id_conflict"
    )
    channel = {"external_id": "A-1", "text": text, "channel": "qr"}
    assert code(api("POST", "/v1/leads", json=channel), 409) == "external_id_conflict"
    assert (count(api, leads), count(api, predictions)) == (1, 1)


def test_sources_do_not_share_their_ids(api: Any, text: str) -> None:
    body = {"external_id": "A-1", "text": text}
    ids = {api("POST", "/v1/leads", scope=source, json=body).json()["id"] for source in ("hotline", "letters")}
    assert len(ids) == 2


def test_without_an_external_id_each_is_new(api: Any, text: str) -> None:
    assert api.send()["id"] != api.send()["id"]
    assert api.send(external_id=None)["external_id"] is None


def test_a_repeated_request_gets_the_same_answer(api: Any, text: str) -> None:
    body = {"text": text}
    first = api("POST", "/v1/leads", json=body, headers=KEY)
    id = first.json()["id"]
    correction = {"reason": "wrong_tag", "department": "tax"}
    changed = api("POST", f"/v1/leads/{id}/corrections", "reviewer", json=correction, headers={"If-Match": '"1"'})
    assert changed.status_code == 200, changed.text
    again = api("POST", "/v1/leads", json=body, headers=KEY)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["etag"] == first.headers["etag"]
    assert count(api, leads) == 1


def test_a_repeated_request_for_a_known_lead_gets_the_same_answer(api: Any, text: str) -> None:
    body = {"external_id": "A-1", "text": text}
    id = api("POST", "/v1/leads", json=body).json()["id"]
    correction = {"json": {"reason": "wrong_tag", "department": "tax"}, "headers": {"If-Match": '"1"'}}
    api("POST", f"/v1/leads/{id}/corrections", "reviewer", **correction)
    first = api("POST", "/v1/leads", json=body, headers=KEY)
    api("POST", f"/v1/leads/{id}/corrections", "reviewer", **{**correction, "headers": {"If-Match": '"2"'}})
    again = api("POST", "/v1/leads", json=body, headers=KEY)
    assert (first.status_code, again.status_code, again.content) == (200, 200, first.content)
    assert again.headers["etag"] == first.headers["etag"]
    assert api("POST", "/v1/leads", json=body).json()["version"] == 3  # without a key: as it is now


def test_at_the_same_time_all_but_one_are_told_that_they_repeat(api: Any, text: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(api, "POST", "/v1/leads", json={"text": text}, headers=KEY) for _ in range(12)]
    answers = [one.result() for one in sent]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers.get("idempotency-replayed") for answer in answers].count("true") == 11
    assert count(api, leads) == 1


def test_a_key_is_for_one_request_of_one_source(api: Any, text: str) -> None:
    api("POST", "/v1/leads", json={"text": text}, headers=KEY)
    other = api("POST", "/v1/leads", json={"text": text + "急"}, headers=KEY)
    assert code(other, 409) == "idempotency_conflict"
    batch = api("POST", "/v1/leads:batch", json={"leads": [{"text": text}]}, headers=KEY)
    assert code(batch, 409) == "idempotency_conflict"
    assert api("POST", "/v1/leads", scope="letters", json={"text": text + "急"}, headers=KEY).status_code == 201
    assert count(api, leads) == 2


def test_a_refused_request_keeps_its_key_free(api: Any, text: str) -> None:
    assert api("POST", "/v1/leads", json={"text": ""}, headers=KEY).status_code == 422
    assert api("POST", "/v1/leads", json={"text": text}, headers=KEY).status_code == 201


def test_at_the_same_time_there_is_still_one(api: Any, text: str) -> None:
    body = {"external_id": "A-1", "text": text}
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(api, "POST", "/v1/leads", json=body, headers=KEY if n % 2 else {}) for n in range(16)]
    answers = [one.result() for one in sent]
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (count(api, leads), count(api, predictions)) == (1, 1)


def test_what_is_stored_but_cannot_be_read_is_said_to_be_stored(
    api: Any, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise DatabaseUnavailable

    body = {"external_id": "A-1", "text": text}
    with monkeypatch.context() as gone:
        gone.setattr(api.runtime.leads, "many", away)
        answer = api("POST", "/v1/leads", json=body)
        assert code(answer, 503) == "stored_unread"
        assert int(answer.headers["retry-after"]) > 0
    assert count(api, leads) == 1
    assert api("POST", "/v1/leads", json=body).status_code == 200


def test_a_batch_says_of_each_what_became_of_it(api: Any, text: str) -> None:
    api.send(external_id="old")
    rows = [
        {"external_id": "new", "text": text},
        {"external_id": "old", "text": text},
        {"external_id": "old", "text": text + "急"},
        {"text": "", "external_id": "empty"},
        {"external_id": "new", "text": text},
        "not an object",
        {"id": "7", "text": text},
        {"text": text},
    ]
    answer = api("POST", "/v1/leads:batch", json={"leads": rows}, headers=KEY)
    assert answer.status_code == 200, answer.text
    results = answer.json()["leads"]
    assert [one["outcome"] for one in results] == [
        "created", "existing", "conflict", "rejected", "existing", "rejected", "rejected", "created",
    ]  # fmt: skip
    assert [one["index"] for one in results] == list(range(8))
    assert [one["field"] for one in results][2:7] == ["external_id", "text", "", "", "id"]
    assert results[0]["lead"]["id"] == results[4]["lead"]["id"]
    assert all(one["detail"] for one in results if one["lead"] is None)
    again = api("POST", "/v1/leads:batch", json={"leads": rows}, headers=KEY)
    assert again.content == answer.content
    assert count(api, leads) == 3


def test_a_batch_has_a_limit(api: Any, text: str) -> None:
    assert code(api("POST", "/v1/leads:batch", json={"leads": [{"text": text}] * 501}), 422) == "too_many_complaints"
    assert code(api("POST", "/v1/leads:batch", json={"leads": []}), 422) == "request_invalid"
    assert count(api, leads) == 0


@pytest.mark.parametrize("key", ["", "有空", "a" * 201])
def test_a_key_that_is_none_is_refused(api: Any, text: str, key: str) -> None:
    headers = {"Idempotency-Key": key.encode()}
    assert code(api("POST", "/v1/leads", json={"text": text}, headers=headers), 422) == "request_invalid"


def test_what_is_stored_is_announced_and_recorded(api: Any) -> None:
    lead = api.send(external_id="E-1")
    found = api("GET", "/v1/events").json()["events"]
    assert [event["subject"] for event in found] == [lead["id"]] * len(found)
    assert found[0]["type"] == "lead.triaged"
    assert found[0]["data"]["external_id"] == "E-1"
    assert ("lead.red_card" in [event["type"] for event in found]) == (lead["tags"]["urgency"] == "red")
    report = verify(api.runtime.database)
    assert not report.findings
    assert count(api, events) == len(found)


def test_the_words_stand_nowhere_in_the_clear(api: Any, tmp_path: Path) -> None:
    words = "青禾镇的孙某某把补贴款压了半年不发"
    lead = api.send(f"{words}，电话13812345678。", external_id="S-1")
    note = {"reason": "confirmed", "remark": "已核实孙某某一事"}
    api("POST", f"/v1/leads/{lead['id']}/corrections", "reviewer", json=note, headers={"If-Match": '"1"'})
    api("GET", "/v1/leads", "reviewer", params={"q": "补贴款"})
    pieces = [piece for piece in (words[i : i + 4] for i in range(len(words) - 3))] + ["13812345678", "孙某某"]
    with api.runtime.database.reading() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                shown = repr([bytes(v).decode("utf-8", "replace") if isinstance(v, bytes) else v for v in row])
                assert not [piece for piece in pieces if piece in shown], table.name
    for file in tmp_path.rglob("fenzhen.sqlite3*"):
        raw = file.read_bytes()
        assert not [piece for piece in pieces if piece.encode() in raw]
