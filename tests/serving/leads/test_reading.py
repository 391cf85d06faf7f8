"""Who may read what, how it is found, and who may change it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from serving.store.schema import audit, corrections, events, lead_states

OTHER = "路灯坏了三个月没人修，反映多次。"


def code(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    found: str = answer.json()["code"]
    return found


def decide(api: Any, lead: dict[str, Any], version: int = 1, **change: Any) -> Any:
    body = {"reason": "wrong_tag", **change}
    headers = {"If-Match": f'"{version}"'}
    return api("POST", f"/v1/leads/{lead['id']}/corrections", "reviewer", json=body, headers=headers)


def test_a_version_known_is_not_sent_again(api: Any) -> None:
    lead = api.send()
    path = f"/v1/leads/{lead['id']}"
    same = api("GET", path, headers={"If-None-Match": '"7", "1"'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", '"1"')
    assert api("GET", path, headers={"If-None-Match": '"2"'}).status_code == 200
    for tag in ('W/"1"', "*"):
        assert api("GET", path, headers={"If-None-Match": tag}).status_code == 304


def test_two_writers_do_not_overwrite_each_other(api: Any) -> None:
    lead = api.send()
    path = f"/v1/leads/{lead['id']}/corrections"
    assert code(api("POST", path, "reviewer", json={"reason": "confirmed"}), 428) == "if_match_missing"
    first = decide(api, lead, department="tax", misconduct=["buck_passing"], urgency="yellow")
    assert first.status_code == 200, first.text
    assert first.headers["etag"] == '"2"'
    assert first.json()["tags"] == {"misconduct": ["buck_passing"], "department": "tax", "urgency": "yellow"}
    assert first.json()["status"] == "decided"
    assert code(decide(api, lead, department="commerce"), 412) == "version_stale"
    assert decide(api, lead, 2, department="commerce").json()["version"] == 3
    anyway = api("POST", path, "reviewer", json={"reason": "confirmed"}, headers={"If-Match": "*"})
    assert anyway.json()["version"] == 4


def test_unchanged_tags_are_an_agreement(api: Any) -> None:
    lead = api.send()
    decide(api, lead, reason="confirmed")
    decide(api, lead, 2, misconduct=["buck_passing"], remark="看过了")
    steps = api("GET", f"/v1/leads/{lead['id']}/history").json()["steps"]
    kinds = [step["kind"] for step in steps if step["kind"] != "event"]
    assert kinds == ["prediction", "agreement", "correction"]
    assert steps[-2]["detail"]["remark"] == "看过了" or steps[-1]["detail"].get("remark") == "看过了"
    types = [step["detail"]["type"] for step in steps if step["kind"] == "event"]
    assert types.count("lead.corrected") == 2
    assert api.page(misconduct="buck_passing") == [None]


def test_a_confirmation_changes_nothing(api: Any) -> None:
    lead = api.send()
    assert code(decide(api, lead, reason="confirmed", urgency="yellow", department="tax"), 422) == "reason_conflict"
    same = decide(api, lead, reason="confirmed", **lead["tags"])
    assert (same.status_code, same.json()["version"], same.json()["tags"]) == (200, 2, lead["tags"])


def test_history_is_in_order_though_the_clock_went_back(api: Any) -> None:
    lead = api.send()
    decide(api, lead, misconduct=[], department="commerce", urgency="blue")
    returned = {"json": {"reason": "not_ours"}, "headers": {"If-Match": '"2"'}}
    assert api("POST", f"/v1/leads/{lead['id']}/returns", "department", **returned).status_code == 200
    decide(api, lead, 3, department="tax")
    back = datetime(2020, 1, 1, tzinfo=UTC)
    with api.runtime.database.changing() as connection:
        connection.execute(update(corrections).where(corrections.c.kind == "return").values(created_at=back))
        connection.execute(update(events).where(events.c.type == "lead.returned").values(time=back))
    steps = api("GET", f"/v1/leads/{lead['id']}/history").json()["steps"]
    named = [step["detail"].get("type", step["kind"]) for step in steps]
    assert [name for name in named if name != "lead.red_card"] == [
        "prediction", "lead.triaged", "correction", "lead.corrected", "return", "lead.returned", "correction",
        "lead.corrected",
    ]  # fmt: skip


def test_what_people_note_is_shown_without_personal_data(api: Any) -> None:
    lead = api.send()
    decide(api, lead, department="tax", remark="已回访13812345678，联系人：谢长根。")
    api("POST", f"/v1/leads/{lead['id']}/reveal", "identity", json={"purpose": "回访13812345678"})
    history = api("GET", f"/v1/leads/{lead['id']}/history").json()["steps"]
    assert [step["detail"]["remark"] for step in history if step["kind"] == "correction"] == [
        "已回访***********，联系人：***。"
    ]
    with api.runtime.database.reading() as connection:
        detail = connection.execute(select(audit.c.detail).where(audit.c.action == "lead.reveal")).scalar_one()
    assert detail == {"purpose": "回访***********"}


def test_a_department_does_not_learn_what_was_suspected(api: Any) -> None:
    lead = api.send()
    decide(api, lead, department="commerce", misconduct=["buck_passing"], remark="像是推诿")
    decide(api, lead, 2, misconduct=[], remark="核实后不是")
    path = f"/v1/leads/{lead['id']}"
    seen = api("GET", path, "department")
    listed = api("GET", "/v1/leads", "department").json()["leads"]
    assert (seen.status_code, seen.json()["triage"], listed) == (200, None, [seen.json()])
    assert seen.json()["tags"] == {**lead["tags"], "department": "commerce", "misconduct": []}
    sent = {"json": {"reason": "not_ours", "remark": "属乡镇"}, "headers": {"If-Match": '"3"'}}
    assert api("POST", f"{path}/returns", "department", **sent).json()["triage"] is None
    history = api("GET", f"{path}/history", "department")
    assert {step["kind"] for step in history.json()["steps"]} == {"event", "return"}
    assert "buck_passing" not in history.text + seen.text
    assert "推诿" not in history.text


@pytest.mark.parametrize("change", [{"department": "navy"}, {"misconduct": ["rudeness"]}, {"urgency": "green"}])
def test_unknown_labels_are_refused(api: Any, change: dict[str, Any]) -> None:
    assert code(decide(api, api.send(), **change), 422) == "label_unknown"


def test_each_sees_what_is_theirs(api: Any) -> None:
    accused, plain, waiting = (api.send(external_id=name) for name in ("accused", "plain", "waiting"))
    assert decide(api, accused, department="commerce", misconduct=["buck_passing"]).status_code == 200
    assert decide(api, plain, department="commerce", misconduct=[]).status_code == 200
    with api.runtime.database.changing() as connection:  # as if the model had found nothing, not surely enough
        waits = lead_states.c.version == 1
        connection.execute(update(lead_states).where(waits).values(department="commerce", alleged=False))
    everything = ["waiting", "plain", "accused"]
    for who in ("reviewer", "supervisor", "admin", "identity", "case-system"):
        assert api.page(who) == everything
    assert api.page("case-system", "letters") == []
    assert api.page("department", "commerce") == ["plain"]
    assert api.page("department", "tax") == []
    for lead in (accused, waiting):
        assert code(api("GET", f"/v1/leads/{lead['id']}", "department"), 404) == "not_found"
        assert code(api("GET", f"/v1/leads/{lead['id']}/history", "department"), 404) == "not_found"
    assert code(api("GET", f"/v1/leads/{plain['id']}", scope="letters"), 404) == "not_found"
    assert code(api("GET", "/v1/leads", "monitor"), 403) == "forbidden"
    for id in ("x", "00000000-0000-4000-8000-000000000000", "%00", "1' OR '1'='1"):
        assert code(api("GET", f"/v1/leads/{id}"), 404) == "not_found"


def test_a_department_gives_back_what_is_not_its_own(api: Any) -> None:
    lead = api.send()
    decide(api, lead, department="commerce", misconduct=[])
    path, body = f"/v1/leads/{lead['id']}/returns", {"reason": "not_ours", "remark": "属乡镇"}
    assert code(api("POST", path, "department", "tax", json=body, headers={"If-Match": '"2"'}), 404) == "not_found"
    done = api("POST", path, "department", json=body, headers={"If-Match": '"2"'})
    assert done.status_code == 200, done.text
    assert (done.json()["status"], done.json()["tags"]["department"]) == ("returned", "commerce")
    assert code(api("POST", path, "reviewer", json=body, headers={"If-Match": '"3"'}), 403) == "forbidden"
    found = api("GET", "/v1/events", params={"types": "lead.returned"}).json()["events"]
    assert [event["data"]["reason"] for event in found] == ["not_ours"]


def test_the_original_is_shown_with_a_purpose_on_record(api: Any) -> None:
    text = "我叫王小明，电话13812345678，路灯不亮。"
    lead = api.send(text)
    assert lead["redacted"] == "我叫***，电话***********，路灯不亮。"
    path = f"/v1/leads/{lead['id']}/reveal"
    assert code(api("POST", path, "admin", json={"purpose": "回访"}), 403) == "forbidden"
    assert code(api("POST", path, "identity", json={}), 422) == "request_invalid"
    shown = api("POST", path, "identity", json={"purpose": "回访核实"})
    assert shown.json() == {"id": lead["id"], "text": text}
    with api.runtime.database.reading() as connection:
        row = connection.execute(select(audit).where(audit.c.action == "lead.reveal")).one()
    assert (row.subject, row.detail) == (f"leads/{lead['id']}", {"purpose": "回访核实"})
    assert row.actor.startswith("key:")


def test_every_filter_filters(api: Any) -> None:
    first = api.send(external_id="1", channel="hotline")
    api("POST", "/v1/leads", scope="letters", json={"external_id": "2", "text": OTHER, "channel": "letter"})
    decide(api, first, department="tax", misconduct=["buck_passing"], urgency="red")
    assert api.page() == ["2", "1"]
    for name, value in {
        "misconduct": "buck_passing", "department": "tax", "card": "red", "status": "decided",
        "channel": "hotline", "external_id": "1", "source": "hotline",
    }.items():  # fmt: skip
        assert api.page(**{name: value}) == ["1"], name
    for level in ("auto", "preselected", "recommend"):
        assert set(api.page(level=level)) <= {"1", "2"}
    today = datetime.now(UTC).astimezone().date()
    assert api.page(received_from=str(today - timedelta(days=1)), received_to=str(today + timedelta(days=1))) == [
        "2",
        "1",
    ]
    assert api.page(received_from=str(today + timedelta(days=2))) == []
    assert api.page(received_to="2020-01-01T00:00:00+08:00") == []
    for wrong in ("yesterday", "2026-13-01", "2026-03-02T08:00:00", "9999-12-31"):
        params = {"received_to": wrong}
        assert code(api("GET", "/v1/leads", "reviewer", params=params), 422) == "moment_invalid"
    assert code(api("GET", "/v1/leads", "reviewer", params={"status": "lost"}), 422) == "request_invalid"


def test_text_is_searched_as_others_may_read_it(api: Any) -> None:
    api.send("青禾镇便民中心的窗口没人，我叫王小明，电话13812345678。", external_id="1")
    api.send("便民服務中心態度很差，青年路。", external_id="2")
    assert api.page(q="便民") == ["2", "1"]
    assert api.page(q="窗口没人") == ["1"]
    assert api.page(q="服务中心") == ["2"]  # traditional characters are found by simplified ones
    assert api.page(q="青禾 窗口") == ["1"]
    assert api.page(q="便民窗口") == []  # both pairs are there, the word is not
    assert api.page(q="13812345678") == []
    assert api.page(q="王小明") == []
    assert code(api("GET", "/v1/leads", "reviewer", params={"q": "民"}), 422) == "request_invalid"
    assert code(api("GET", "/v1/leads", "reviewer", params={"q": "民 心"}), 422) == "query_too_short"


def test_pages_stay_put_while_leads_arrive(api: Any) -> None:
    rows = [{"external_id": str(number), "text": f"{OTHER}第{number}次。"} for number in range(25)]
    api("POST", "/v1/leads:batch", json={"leads": rows})
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 10, **({"cursor": cursor} if cursor else {})}
        page = api("GET", "/v1/leads", "reviewer", params=params).json()
        seen += [lead["external_id"] for lead in page["leads"]]
        cursor = page["next"]
        if cursor is None:
            break
        api.send(external_id=f"late {len(seen)}")
    assert seen == [str(number) for number in reversed(range(25))]
    assert api.page(q="路灯", limit=25) == seen
    for wrong in ("nonsense", "Mg", "", "!" * 50):
        assert code(api("GET", "/v1/leads", "reviewer", params={"cursor": wrong}), 422) == "cursor_invalid"
