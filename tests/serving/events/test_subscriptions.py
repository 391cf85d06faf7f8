"""Subscriptions: the secret is shown once and stored encrypted; each source sees and disables its own."""

import base64
from typing import Any

import pytest
from sqlalchemy import select, update

from data.errors import InputError
from serving.errors import Conflict, Missing, StoreError
from serving.event_types import EventType
from serving.signatures import signing_key
from serving.store.audit import verify
from serving.store.database import Database
from serving.store.schema import audit, subscriptions
from serving.store.subscriptions import MOST, SubscriptionOrder, SubscriptionStore, check_url

URL = "https://cases.example.cn/fenzhen?token=abc"


@pytest.fixture
def store(database: Database) -> SubscriptionStore:
    return SubscriptionStore(database)


def test_a_secret_is_made_and_kept_where_only_we_can_read_it(store: SubscriptionStore, database: Database) -> None:
    made = store.create("key:1", SubscriptionOrder(url=URL, source="hotline"))
    assert len(signing_key(made.secret)) == 32
    with database.reading() as connection:
        row = connection.execute(select(subscriptions)).one()
    assert made.secret.encode() not in row.secret and signing_key(made.secret) not in row.secret
    assert made.secret not in str(store.list())
    assert store.find(made.subscription.id) == made


def test_a_secret_may_be_brought_along(store: SubscriptionStore) -> None:
    secret = "whsec_" + base64.b64encode(bytes(range(24))).decode()
    made = store.create("test", SubscriptionOrder(url=URL, secret=secret))
    assert made.secret == secret == store.find(made.subscription.id).secret


def test_types_are_all_there_are_or_those_wanted_in_one_order(store: SubscriptionStore) -> None:
    everything = store.create("test", SubscriptionOrder(url=URL))
    assert everything.subscription.types == tuple(EventType)
    wanted = (EventType.RED_CARD, EventType.TRIAGED, EventType.RED_CARD)
    some = store.create("test", SubscriptionOrder(url=URL, types=wanted))
    assert some.subscription.types == (EventType.TRIAGED, EventType.RED_CARD)


def test_the_audit_trail_tells_of_it_without_the_secret_or_the_token(
    store: SubscriptionStore, database: Database
) -> None:
    made = store.create("key:1", SubscriptionOrder(url=URL, types=(EventType.RED_CARD,)))
    id = made.subscription.id
    for _ in range(2):
        assert store.disable("command:root", id).disabled_at is not None
    with database.reading() as connection:
        rows = connection.execute(select(audit).where(audit.c.subject == f"subscriptions/{id}").order_by(audit.c.seq))
        first, last = rows.all()
    told = {"host": "cases.example.cn", "types": ["lead.red_card"], "source": None}
    assert (first.actor, first.action, first.detail) == ("key:1", "subscription.create", told)
    assert (last.actor, last.action, last.detail) == (
        "command:root",
        "subscription.disable",
        {**told, "why": "asked"},
    )
    assert not verify(database).findings


def test_disabling_gives_up_what_waits_and_nothing_else(store: SubscriptionStore, outbox: Any) -> None:
    leaving, staying = outbox.subscribe(), outbox.subscribe()
    outbox.announce()
    store.disable("test", leaving)
    (gone,) = outbox.deliveries(subscription_id=leaving)
    assert (gone.status, gone.answered) == ("dead", "disabled")
    assert [row.status for row in outbox.deliveries(subscription_id=staying)] == ["waiting"]
    outbox.announce()
    assert len(outbox.deliveries(subscription_id=leaving)) == 1
    counts = {one.id: (one.waiting, one.dead) for one in store.list()}
    assert counts == {leaving: (0, 1), staying: (2, 0)}


def test_each_source_sees_and_disables_its_own(store: SubscriptionStore) -> None:
    own = store.create("test", SubscriptionOrder(url=URL, source="hotline")).subscription
    others = store.create("test", SubscriptionOrder(url=URL, source="window")).subscription
    everyones = store.create("test", SubscriptionOrder(url=URL)).subscription
    assert [one.id for one in store.list("hotline")] == [own.id]
    assert {one.id for one in store.list()} == {own.id, others.id, everyones.id}
    for one in (others, everyones):
        with pytest.raises(Missing):
            store.disable("test", one.id, source="hotline")
        with pytest.raises(Missing):
            store.find(one.id, "hotline")
    assert store.disable("test", own.id, source="hotline").id == own.id
    assert [one.id for one in store.list() if one.disabled_at] == [own.id]


@pytest.mark.parametrize("id", ["00000000-0000-4000-8000-000000000000", "x", "\0" * 36])
def test_what_is_not_there_is_missing(store: SubscriptionStore, id: str) -> None:
    with pytest.raises(Missing):
        store.disable("test", id)
    with pytest.raises(Missing):
        store.find(id)


def test_there_is_an_end_to_how_many_a_source_may_have(store: SubscriptionStore) -> None:
    made = [store.create("test", SubscriptionOrder(url=URL, source="hotline")) for _ in range(MOST)]
    with pytest.raises(Conflict) as error:
        store.create("test", SubscriptionOrder(url=URL, source="hotline"))
    assert error.value.code == "too_many_subscriptions"
    store.create("test", SubscriptionOrder(url=URL, source="window"))
    store.create("test", SubscriptionOrder(url=URL))
    store.disable("test", made[0].subscription.id)
    store.create("test", SubscriptionOrder(url=URL, source="hotline"))


def test_a_secret_that_was_moved_or_changed_is_refused(store: SubscriptionStore, database: Database) -> None:
    one, other = (store.create("test", SubscriptionOrder(url=URL)).subscription.id for _ in range(2))
    with database.changing() as connection:
        cipher = connection.execute(select(subscriptions.c.secret).where(subscriptions.c.id == other)).scalar_one()
        connection.execute(update(subscriptions).where(subscriptions.c.id == one).values(secret=cipher))
    with pytest.raises(StoreError):
        store.find(one)


GOOD = ("http://10.20.0.15:8080/a", "https://[::1]/", "http://例子.测试/x?y=1", "http://localhost", "HTTPS://A.B/c")
WRONG = {
    "another scheme": "ftp://a/",
    "a file": "file:///etc/passwd",
    "no scheme": "//a/",
    "no host": "http:///x",
    "only a path": "/x",
    "empty": "",
    "an account": "http://user:word@a/",
    "a fragment": "http://a/#b",
    "a blank": "http://a b/",
    "a line break": "http://a/\r\nX: y",
    "a NUL": "http://a/\0",
    "half a surrogate pair": "http://a/\ud800",
    "half a surrogate pair in the host": "http://\ud800/",
    "a backslash": "http://a\\@b/",
    "port 0": "http://a:0/",
    "no such port": "http://a:99999/",
    "a wrong IDN": "http://xn--a/",
    "a wrong IPv6": "http://[::g]/",
    "too long": "http://a/" + "x" * 2000,
}


@pytest.mark.parametrize("url", GOOD)
def test_addresses_may_be_internal(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize("url", WRONG.values(), ids=WRONG)
def test_a_wrong_address_is_refused(url: str) -> None:
    with pytest.raises(InputError) as error:
        check_url(url)
    assert error.value.code == "url_invalid"


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"url": "ftp://a/"}, "url_invalid"),
        ({"url": URL, "secret": "whsec_x"}, "secret_invalid"),
        ({"url": URL, "source": "a b"}, "source_invalid"),
    ],
)
def test_a_wrong_order_is_refused(store: SubscriptionStore, wanted: dict[str, Any], code: str) -> None:
    with pytest.raises(InputError) as error:
        store.create("test", SubscriptionOrder(**wanted))
    assert error.value.code == code
    assert store.list() == ()
