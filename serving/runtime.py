"""What a running service consists of, in the order it is started and, reversed, stopped."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from anyio.to_thread import run_sync
from fastapi import Request

from models.triage import Triager
from serving.deliver import Deliverer
from serving.engine import Engine
from serving.errors import NotReady
from serving.loading import load_triager
from serving.metrics import Metrics
from serving.probe import Probe
from serving.retag import Retagger
from serving.settings import Settings
from serving.store.access import AccessStore
from serving.store.corrections import CorrectionStore
from serving.store.database import Database, open_database
from serving.store.leads import LeadStore

SETTLED = 0.5  # seconds after which a starting server has answered its first probe


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Everything that routes use."""

    settings: Settings
    triager: Triager
    database: Database
    access: AccessStore
    leads: LeadStore
    corrections: CorrectionStore
    engine: Engine
    metrics: Metrics
    deliverer: Deliverer
    probe: Probe


def runtime_of(request: Request) -> Runtime:
    """The runtime of the app that serves this request; raises NotReady before the service has started."""
    found: Runtime | None = request.app.state.runtime
    if found is None:
        raise NotReady
    return found


@asynccontextmanager
async def running(settings: Settings, given: Triager | None = None) -> AsyncIterator[Runtime]:
    """A started service. On leaving, what was accepted is answered and what is being delivered is finished.

    Raises PolicyError, BundleError, StoreError or DatabaseUnavailable.
    """
    triager: Triager = await run_sync(load_triager, settings) if given is None else given
    database = await run_sync(open_database, settings.database, settings.secret)
    metrics = Metrics(triager)
    runtime = Runtime(
        settings=settings,
        triager=triager,
        database=database,
        access=AccessStore(database, triager.taxonomy),
        leads=LeadStore(database, triager.policy),
        corrections=CorrectionStore(database, triager.policy),
        engine=Engine(triager, settings, metrics.observe_batch),
        metrics=metrics,
        deliverer=Deliverer(database),
        probe=Probe(database),
    )
    retagger = Retagger(runtime.leads, runtime.engine, runtime.deliverer.wake)
    triager.rules.dictionary.warm_up(after=SETTLED)
    await runtime.engine.start()
    runtime.deliverer.start()
    await retagger.start()
    try:
        yield runtime
    finally:
        await retagger.close()
        await runtime.engine.close()
        await run_sync(runtime.deliverer.stop)
        database.engine.dispose()
