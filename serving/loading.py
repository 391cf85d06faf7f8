"""The triager of this deployment, loaded the same way by the service and by every command."""

from pathlib import Path

from data.policy_files import load_policy
from models.triage import Triager
from serving.settings import Settings


def load_triager(settings: Settings, bundle: Path | None = None) -> Triager:
    """The triager that ``settings`` describe, with ``bundle`` in place of theirs; raises PolicyError or BundleError."""
    return Triager.load(bundle or settings.bundle, load_policy(settings.policy_dir), settings.threads)
