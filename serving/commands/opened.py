"""The store of this deployment, opened for one command."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from data.policy_files import load_taxonomy
from serving.settings import load_settings
from serving.store.access import AccessStore
from serving.store.database import Database, open_database


def operator() -> str:
    """Who runs the command, as the audit trail names them."""
    try:
        return f"command:{getpass.getuser()[:64]}"
    except (KeyError, OSError):  # a container may run under a number that has no name
        return "command"


@contextmanager
def opened_database() -> Iterator[Database]:
    """The database; raises SettingsError, StoreError or DatabaseUnavailable."""
    settings = load_settings()
    database = open_database(settings.database, settings.secret)
    try:
        yield database
    finally:
        database.engine.dispose()


@contextmanager
def opened_access() -> Iterator[AccessStore]:
    """Keys and accounts; raises what `opened_database` raises, and PolicyError."""
    taxonomy = load_taxonomy(load_settings().policy_dir)
    with opened_database() as database:
        yield AccessStore(database, taxonomy)
