"""From sent complaints to stored leads: what was sent before is found out first, only the rest is triaged."""

from collections.abc import Sequence

from anyio.to_thread import run_sync

from models.answer import Triage
from serving.roles import Principal
from serving.runtime import Runtime
from serving.store.idempotency import Placed, RequestKey
from serving.store.leads import NewLead, Sent


async def take_in(
    runtime: Runtime, who: Principal, sent: Sequence[Sent], request: RequestKey | None
) -> tuple[Placed, ...]:
    """Triage what is new and store it in one transaction; what became of each complaint, in order.

    Raises Overloaded, TimedOut, DatabaseUnavailable, Conflict; then nothing was stored.
    """
    store = runtime.leads
    known = await run_sync(store.known, who.source or "", sent)
    fresh = [one for one, before in zip(sent, known, strict=True) if before is None]
    triages = await runtime.engine.triage([one.complaint for one in fresh]) if fresh else []
    by_id = dict(zip((one.complaint.id for one in fresh), triages, strict=True))
    new = [before or _new(one, by_id) for one, before in zip(sent, known, strict=True)]
    placed = await run_sync(store.submit, who, new, request)
    _tell(runtime, fresh, triages, placed)
    return placed


def _new(sent: Sent, triages: dict[str, Triage]) -> NewLead:
    return NewLead(external_id=sent.external_id, complaint=sent.complaint, triage=triages[sent.complaint.id])


def _tell(runtime: Runtime, fresh: Sequence[Sent], triages: Sequence[Triage], placed: Sequence[Placed]) -> None:
    stored = {one.lead_id for one in placed}
    counted = [pair for pair in zip(triages, fresh, strict=True) if pair[1].complaint.id in stored]
    runtime.metrics.observe_triage([one for one, _ in counted], [one.complaint for _, one in counted])
    if counted:
        runtime.deliverer.wake()
