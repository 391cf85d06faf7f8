"""Requests that were answered before, by the key their sender gave them: a repeated one gets the same answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from serving.errors import Conflict
from serving.store.database import Writing
from serving.store.schema import idempotency


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """The ``Idempotency-Key`` of a request of ``source``, and a keyed digest of its route and body."""

    source: str
    key: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What became of one complaint of a request: ``outcome`` as `Outcome`, and the lead's id if there is one."""

    outcome: str
    lead_id: str | None


def answered(connection: Connection, request: RequestKey) -> tuple[Placed, ...] | None:
    """What came of the request the first time; None if it is new. Raises Conflict if the key was another request's."""
    where = (idempotency.c.source == request.source, idempotency.c.key == request.key)
    row = connection.execute(select(idempotency).where(*where)).mappings().first()
    if row is None:
        return None
    if row["digest"] != request.digest:
        raise Conflict("这个 Idempotency-Key 已用于另一个请求。", code="idempotency_conflict")
    return tuple(Placed(outcome=outcome, lead_id=lead_id) for outcome, lead_id in row["outcome"])


def remember(writing: Writing, request: RequestKey, placed: Sequence[Placed]) -> None:
    """Keep what came of a new request."""
    writing.connection.execute(
        insert(idempotency).values(
            source=request.source, key=request.key, digest=request.digest,
            outcome=[[one.outcome, one.lead_id] for one in placed], created_at=writing.now,
        )
    )  # fmt: skip
