"""Logs: one JSON object a line on stderr, never with words of a complaint.

What this project logs is written by `log_event` and holds ids, counts and codes. Of what libraries log, only place and
kind are kept, as their messages may quote anything; an exception is reduced to types and places for the same reason.
"""

import json
import logging
import os
import sys
import threading
import traceback
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from data.errors import BundleError, PolicyError
from serving.errors import StoreError

OURS = "fenzhen"
_ROOT = f"{Path(__file__).parents[1]}{os.sep}"
_PACKAGES = tuple(f"{_ROOT}{package}{os.sep}" for package in ("data", "models", "serving"))
FRAMES = 5
_TELLING = (PolicyError, BundleError, StoreError)  # say what is wrong with files and database, nothing of complaints
_log = logging.getLogger("fenzhen.process")


def log_event(log: logging.Logger, level: int, event: str, **fields: Any) -> None:
    """Write one event. ``fields`` are ids, counts, codes, names of types: nothing that a caller wrote."""
    if log.isEnabledFor(level):
        log.log(level, json.dumps({"event": event, **fields}, ensure_ascii=False, default=str))


def anatomy(error: BaseException) -> dict[str, Any]:
    """Kinds and places of an error and its causes, not their messages, which may quote a complaint."""
    found: dict[str, Any] = {"error": type(error).__name__, "at": _places(error.__traceback__)}
    causes: list[str] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(causes) < FRAMES:
        causes.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    if causes:
        found["causes"] = causes
    if isinstance(error, _TELLING):
        found["detail"] = str(error)
    return found


def _places(trace: TracebackType | None) -> list[str]:
    """The last places of our own that an error passed, then where it was raised."""
    passed = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(trace)]
    ours = [place for place in passed[:-1] if place[0].startswith(_PACKAGES)]
    return [f"{file.removeprefix(_ROOT)}:{line}" for file, line in ours[1 - FRAMES :] + passed[-1:]]


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **(_event(record) or _foreign(record)),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line |= anatomy(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def _event(record: logging.LogRecord) -> dict[str, Any] | None:
    """The fields of an event of ours; None for every other record."""
    if record.name.partition(".")[0] != OURS or record.args:
        return None
    try:
        fields = json.loads(str(record.msg))
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _foreign(record: logging.LogRecord) -> dict[str, Any]:
    return {"event": "log", "logger": record.name, "at": [f"{record.pathname}:{record.lineno}"]}


def configure_logs(level: str, stream: TextIO | None = None) -> None:
    """Make this process log as said above, ours from ``level`` (debug, info, warning, error) and others' from warning.

    Uncaught exceptions of any thread and Python's own warnings become lines too.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(level.upper())
    access = logging.getLogger("uvicorn.access")  # quotes addresses as sent
    access.handlers[:], access.propagate = [], False
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    warnings.showwarning = _warned


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log_event(_log, logging.CRITICAL, "failure", **anatomy(error))


def _uncaught_in_thread(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_value is not None:
        log_event(_log, logging.CRITICAL, "failure", **anatomy(failure.exc_value))


def _unraisable(failure: Any) -> None:
    if failure.exc_value is not None:
        log_event(_log, logging.ERROR, "failure", **anatomy(failure.exc_value))


def _warned(
    message: Warning | str, category: type[Warning], filename: str, lineno: int,
    file: TextIO | None = None, line: str | None = None,
) -> None:  # fmt: skip
    log_event(_log, logging.WARNING, "warning", kind=category.__name__, at=[f"{filename}:{lineno}"])
