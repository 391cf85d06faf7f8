"""The store of leads: what a case system sent is there once, with everything that was ever said about it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, insert, select

from data.complaint import Complaint
from data.policy_schema import Policy
from data.privacy import redact
from models.answer import Triage
from serving.errors import Conflict, StoreError
from serving.event_types import EventType
from serving.roles import Principal
from serving.store.contents import content_digest, redacted_context
from serving.store.database import Database, Writing
from serving.store.idempotency import Placed, RequestKey, answered, remember
from serving.store.lead_records import (
    announcements,
    event_data,
    lead_row,
    prediction_row,
    set_types,
    state_row,
    turned_red,
)
from serving.store.lead_rows import Lead, Status, find, held_tags, load, original_of, tags_of, with_state
from serving.store.outbox import Announcement, announce_all
from serving.store.schema import lead_states, lead_terms, leads, predictions
from serving.store.search import terms
from serving.wire import answer_json


class Outcome(StrEnum):
    """What became of one complaint of a request. ``existing``: it was sent before; ``conflict``: something else was
    sent before under the same external id."""

    CREATED = "created"
    EXISTING = "existing"
    CONFLICT = "conflict"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A complaint as it was sent, under the id that its lead will have."""

    external_id: str | None
    complaint: Complaint


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLead(Sent):
    """A complaint to be stored, with its triage."""

    triage: Triage


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A lead that rules alone have tagged so far, and its place among all leads."""

    seq: int
    complaint: Complaint


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What of a new lead others may read, and what it is found by."""

    redacted: str
    terms: frozenset[int]


class LeadStore:
    """The leads of a database."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self.database, self.policy = database, policy

    def replay(self, request: RequestKey) -> tuple[Placed, ...] | None:
        """What came of the same request before; raises Conflict. Costs no inference."""
        with self.database.reading() as connection:
            return answered(connection, request)

    def known(self, source: str, sent: Sequence[Sent]) -> list[Placed | None]:
        """For each complaint what would become of it without storing anything: existing, conflict, or None for new."""
        with self.database.reading() as connection:
            digests = _digests(connection, source, [one.external_id for one in sent])
        return [_placed(self._judge(one, digests)) for one in sent]

    def _judge(self, sent: Sent, digests: Mapping[str, tuple[str, str]]) -> tuple[Outcome, str | None]:
        before = digests.get(sent.external_id or "")
        if before is None:
            return Outcome.CREATED, None
        id, digest = before
        same = digest == content_digest(self.database.keyring, sent.complaint)
        return (Outcome.EXISTING, id) if same else (Outcome.CONFLICT, None)

    def submit(
        self, who: Principal, new: Sequence[NewLead | Placed], request: RequestKey | None = None
    ) -> tuple[Placed, ...]:
        """Store what is new of a request, in one transaction, and say what became of each in order.

        What was placed before is passed through. If the same request was answered meanwhile, that answer is given and
        nothing is stored. Raises Conflict, DatabaseUnavailable.
        """
        source = who.source or ""
        fresh = [one for one in new if isinstance(one, NewLead)]
        shown = {one.complaint.id: self._shown(one) for one in fresh}  # before other writers have to wait
        with self.database.writing(who.actor) as writing:
            if request and (before := answered(writing.connection, request)) is not None:
                return before
            digests = _digests(writing.connection, source, [one.external_id for one in fresh])
            placed, stored = [], []
            for one in new:
                if isinstance(one, Placed):
                    placed.append(one)
                    continue
                outcome, id = self._judge(one, digests)
                if outcome is Outcome.CREATED:
                    id = one.complaint.id
                    stored.append(one)
                    if one.external_id is not None:
                        digests[one.external_id] = (id, content_digest(writing.keyring, one.complaint))
                placed.append(Placed(outcome=outcome, lead_id=id))
            if stored:
                self._insert(writing, source, stored, shown)
            if request:
                remember(writing, request, placed)
        return tuple(placed)

    def _shown(self, new: NewLead) -> _Shown:
        redacted = redact(new.complaint.text)
        return _Shown(redacted=redacted, terms=terms(self.database.keyring, redacted))

    def _insert(self, writing: Writing, source: str, new: Sequence[NewLead], shown: Mapping[str, _Shown]) -> None:
        rows = [lead_row(writing, source, one.external_id, one.complaint) for one in new]
        for row in rows:
            text = shown[row["id"]].redacted.encode("utf-8", "replace")
            row["redacted"] = writing.keyring.encrypt(text, redacted_context(row["id"]))
        writing.add("lead.create", leads, rows)
        answers = [answer_json(one.triage, self.policy) for one in new]
        said = [
            prediction_row(writing, row["seq"], one.triage, answer)
            for row, one, answer in zip(rows, new, answers, strict=True)
        ]
        writing.add("prediction.add", predictions, said)
        states = [
            state_row(row["seq"], one.triage, answer, writing.now)
            for row, one, answer in zip(rows, new, answers, strict=True)
        ]
        writing.connection.execute(insert(lead_states), states)
        index = [{"lead_seq": row["seq"], "term": term} for row in rows for term in sorted(shown[row["id"]].terms)]
        if index:
            writing.connection.execute(insert(lead_terms), index)
        for row, answer in zip(rows, answers, strict=True):
            set_types(writing, row["seq"], tags_of(answer).misconduct)
        announce_all(
            writing,
            [
                one
                for row, state, answer in zip(rows, states, answers, strict=True)
                for one in announcements(row, state, answer)
            ],
        )

    def get(self, who: Principal, id: str) -> Lead:
        """A lead that ``who`` may know of; raises Missing."""
        with self.database.reading() as connection:
            return load(connection, self.database.keyring, [find(connection, who, id)])[0]

    def many(self, ids: Sequence[str], *, first: bool) -> dict[str, Lead]:
        """Leads by id; ``first``: as they were when they had just been stored."""
        with self.database.reading() as connection:
            rows = connection.execute(with_state().where(leads.c.id.in_(ids))).mappings().all()
            kept = [row for row in rows if row["content"] is not None]
            return {lead.id: lead for lead in load(connection, self.database.keyring, kept, first=first)}

    def reveal(self, who: Principal, id: str, purpose: str) -> Complaint:
        """The complaint as it was sent. That ``who`` looked, and what for, is on record before it is given."""
        with self.database.writing(who.actor) as writing:
            row = find(writing.connection, who, id)
            stored = {column.name: row[column.name] for column in leads.columns}
            writing.record("lead.reveal", leads, id, stored, {"purpose": redact(purpose)})
        return original_of(self.database.keyring, row)

    def degraded(self, most: int, after: int = 0) -> list[Waiting]:
        """Up to ``most`` leads that rules alone have tagged so far, the oldest first, from behind ``after``. One whose
        stored words were tampered with is left out."""
        with self.database.reading() as connection:
            wanted = with_state().where(lead_states.c.degraded.is_(True), leads.c.content.is_not(None))
            rows = connection.execute(wanted.where(leads.c.seq > after).order_by(leads.c.seq).limit(most)).mappings()
            found = []
            for row in rows:
                with suppress(StoreError):
                    found.append(Waiting(seq=row["seq"], complaint=original_of(self.database.keyring, row)))
        return found

    def retag(self, id: str, triage: Triage) -> None:
        """Add what the model says of a lead that rules alone had tagged; tags that a person decided stay."""
        answer = answer_json(triage, self.policy)
        with self.database.writing("system") as writing:
            row = writing.connection.execute(with_state().where(leads.c.id == id)).mappings().first()
            if row is None or not row["degraded"] or row["content"] is None:
                return
            said = [prediction_row(writing, row["seq"], triage, answer)]
            writing.add("prediction.add", predictions, said)
            state = {"degraded": False, "version": row["version"] + 1, "updated_at": writing.now}
            if row["status"] in (Status.TRIAGED, Status.WAITING):
                state = {**state_row(row["seq"], triage, answer, writing.now), **state}
                set_types(writing, row["seq"], tags_of(answer).misconduct)
            writing.connection.execute(lead_states.update().where(lead_states.c.lead_seq == row["seq"]).values(**state))
            now = {**row, **state}
            data = event_data(row, now, answer, held_tags(writing.connection, now))
            kinds = [EventType.RETAGGED]
            if turned_red(row["card"], now["card"]):
                kinds.append(EventType.RED_CARD)
            announce_all(
                writing,
                [Announcement(type=kind, lead_seq=row["seq"], source=row["source"], data=data) for kind in kinds],
            )


def _digests(connection: Connection, source: str, ids: Sequence[str | None]) -> dict[str, tuple[str, str]]:
    """Of the external ids that ``source`` used before: the lead's id and its content digest."""
    given = {id for id in ids if id is not None}
    if not given:
        return {}
    columns = select(leads.c.external_id, leads.c.id, leads.c.content_digest)
    rows = connection.execute(columns.where(leads.c.source == source, leads.c.external_id.in_(given)))
    return {row.external_id: (row.id, row.content_digest) for row in rows}


def _placed(judged: tuple[Outcome, str | None]) -> Placed | None:
    outcome, id = judged
    return None if outcome is Outcome.CREATED else Placed(outcome=outcome, lead_id=id)


def conflict() -> Conflict:
    """What the sender of a conflicting complaint is told."""
    return Conflict("这个 external_id 之前报送过，但内容不同。", code="external_id_conflict")
