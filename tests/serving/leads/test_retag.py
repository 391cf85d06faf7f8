"""What rules alone have tagged is tagged again by the model."""

import asyncio
from dataclasses import replace
from typing import Any

from sqlalchemy import select, update

from serving.retag import CHUNK, Retagger
from serving.store.audit import verify
from serving.store.schema import events, lead_states, leads, predictions


def leave_to_rules(api: Any) -> None:
    """As if the model had not been able to run when the leads came in."""
    with api.runtime.database.changing() as connection:
        connection.execute(update(lead_states).values(degraded=True))
        connection.execute(update(predictions).values(degraded=True))


async def again(api: Any) -> int:
    engine = api.runtime.engine

    class Here:
        """The engine of another event loop."""

        degraded = False

        async def triage(self, complaints: Any) -> Any:
            return api.client.portal.call(engine.triage, complaints)

    return await Retagger(api.runtime.leads, Here()).chunk()  # type: ignore[arg-type]


def last_event(api: Any) -> dict[str, Any]:
    with api.runtime.database.reading() as connection:
        row = connection.execute(select(events).order_by(events.c.seq.desc()).limit(1)).one()
    return {"type": row.type, **row.data}


def test_leads_are_tagged_again_once(api: Any, text: str) -> None:
    lead = api.send(external_id="1")
    leave_to_rules(api)
    assert api("GET", f"/v1/leads/{lead['id']}").json()["degraded"] is True
    assert asyncio.run(again(api)) == 1
    found = api("GET", f"/v1/leads/{lead['id']}").json()
    assert (found["degraded"], found["version"], found["tags"]) == (False, 2, lead["tags"])
    assert found["triage"] == lead["triage"]
    assert asyncio.run(again(api)) == 0
    with api.runtime.database.reading() as connection:
        assert connection.execute(select(predictions.c.degraded).order_by(predictions.c.seq)).scalars().all() == [
            True,
            False,
        ]
    types = [event["type"] for event in api("GET", "/v1/events").json()["events"]]
    assert types[-1] == "lead.retagged"


def test_what_a_person_decided_stays(api: Any) -> None:
    lead = api.send()
    change = {"reason": "wrong_tag", "department": "tax", "misconduct": ["buck_passing"]}
    api("POST", f"/v1/leads/{lead['id']}/corrections", "reviewer", json=change, headers={"If-Match": '"1"'})
    leave_to_rules(api)
    assert asyncio.run(again(api)) == 1
    found = api("GET", f"/v1/leads/{lead['id']}").json()
    assert (found["status"], found["degraded"], found["version"]) == ("decided", False, 3)
    assert found["tags"] == {**lead["tags"], "department": "tax", "misconduct": ["buck_passing"]}
    told = last_event(api)
    assert (told["type"], told["version"], told["status"]) == ("lead.retagged", 3, "decided")
    assert (told["department"], told["misconduct"], told["card"]) == ("tax", ["buck_passing"], lead["tags"]["urgency"])


class Unable:
    """An engine that answers every complaint but by rules alone, and notes which."""

    def __init__(self, api: Any) -> None:
        self.degraded, self.asked, self._api = False, [], api

    async def triage(self, complaints: Any) -> Any:
        self.asked += [complaint.id for complaint in complaints]
        found = self._api.client.portal.call(self._api.runtime.engine.triage, complaints)
        return [replace(one, degraded=True) for one in found]


def test_one_that_cannot_be_tagged_does_not_keep_the_others_from_it(api: Any) -> None:
    rows = [{"text": f"路灯坏了三个月没人修，第{number}次反映。"} for number in range(CHUNK + 1)]
    results = api("POST", "/v1/leads:batch", json={"leads": rows}).json()["leads"]
    ids = [one["lead"]["id"] for one in results]
    leave_to_rules(api)
    engine = Unable(api)
    retagger = Retagger(api.runtime.leads, engine)  # type: ignore[arg-type]

    async def look() -> list[int]:
        return [await retagger.chunk() for _ in range(4)]

    assert asyncio.run(look()) == [0, 0, 0, 0]
    assert engine.asked == [*ids, *ids[:CHUNK]]  # a chunk, the rest, nothing, and from the beginning


def test_one_that_was_tampered_with_is_left_out(api: Any) -> None:
    bad, good = api.send(), api.send()
    leave_to_rules(api)
    with api.runtime.database.changing() as connection:
        connection.execute(update(leads).where(leads.c.id == bad["id"]).values(content=b"x" * 40))
    assert asyncio.run(again(api)) == 1
    assert api("GET", f"/v1/leads/{good['id']}").json()["degraded"] is False


def test_what_is_added_is_in_the_chain(api: Any) -> None:
    api.send()
    with api.runtime.database.changing() as connection:
        connection.execute(update(lead_states).values(degraded=True))
    # a second prediction of the same versions is only one after a degraded one
    with api.runtime.database.changing() as connection:
        connection.execute(update(predictions).values(degraded=True))
    assert asyncio.run(again(api)) == 1
    altered = [finding for finding in verify(api.runtime.database).findings]
    assert len(altered) == 1  # the prediction that this test altered, and nothing else
