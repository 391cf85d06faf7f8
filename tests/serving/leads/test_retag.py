"""What rules alone have tagged is tagged again by the model."""

import asyncio
from typing import Any

from sqlalchemy import select, update

from serving.retag import Retagger
from serving.store.audit import verify
from serving.store.schema import lead_states, predictions


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
