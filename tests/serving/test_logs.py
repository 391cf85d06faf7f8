"""Log lines: JSON, one each, and nothing in them that a caller or a library wrote."""

import json
import logging
import subprocess
import sys
import threading
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

from serving.errors import StoreError
from serving.logs import anatomy, configure_logs, log_event

MARK = "李某某绝密"


def test_an_event_is_a_line_with_time_and_level(kept: Any) -> None:
    log_event(logging.getLogger("fenzhen.http"), logging.INFO, "request", status=200, route="/路")
    log_event(logging.getLogger("fenzhen.http"), logging.DEBUG, "detail")
    (line,) = kept.lines
    assert datetime.fromisoformat(line.pop("time")).utcoffset() is not None
    assert line == {"level": "info", "event": "request", "status": 200, "route": "/路"}
    assert kept.text.count("\n") == 1


def test_of_other_loggers_only_the_place_is_kept(kept: Any) -> None:
    logging.getLogger("httpx").info("GET %s", MARK)
    logging.getLogger("sqlalchemy.engine").warning("parameters: %s", MARK)
    logging.getLogger("asyncio").error(f"Task exception was never retrieved: {MARK}")
    logging.getLogger("fenzhen.other").warning("text: %s", MARK)
    assert [line["logger"] for line in kept.lines] == ["sqlalchemy.engine", "asyncio", "fenzhen.other"]
    assert all(line["event"] == "log" and "test_logs.py:" in line["at"][0] for line in kept.lines)
    assert MARK not in kept.text


def test_a_traceback_is_reduced_to_kinds_and_places(kept: Any) -> None:
    try:
        raise ValueError(MARK)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application: %s", MARK)
    (line,) = kept.lines
    assert line["error"] == "ValueError"
    assert "test_logs.py:" in line["at"][-1]
    assert MARK not in kept.text


def test_addresses_as_sent_are_not_logged(kept: Any) -> None:
    logging.getLogger("uvicorn.access").warning('"GET /%s" 404', MARK)
    assert kept.lines == []


def test_what_no_one_catches_is_reduced_too(kept: Any) -> None:
    def fail() -> None:
        raise RuntimeError(MARK)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()

    class Unraisable:
        def __del__(self) -> None:
            raise LookupError(MARK)

    Unraisable()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning(UserWarning(MARK), UserWarning, "file.py", 7)
    failures = [(line["event"], line.get("error") or line["kind"]) for line in kept.lines]
    assert failures == [("failure", "RuntimeError"), ("failure", "LookupError"), ("warning", "UserWarning")]
    assert kept.lines[2]["at"] == ["file.py:7"]
    assert MARK not in kept.text


def test_a_process_that_dies_prints_one_line() -> None:
    code = "from serving.logs import configure_logs; configure_logs('info'); raise ValueError('绝密')"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stderr)["error"] == "ValueError"
    assert "绝密" not in done.stderr


def test_the_level_is_that_of_the_settings(kept: Any) -> None:
    configure_logs("error", kept.stream)
    log_event(logging.getLogger("fenzhen.http"), logging.WARNING, "failure")
    log_event(logging.getLogger("fenzhen.http"), logging.ERROR, "failure")
    configure_logs("debug", kept.stream)
    log_event(logging.getLogger("fenzhen.http"), logging.DEBUG, "detail")
    assert [line["level"] for line in kept.lines] == ["error", "debug"]


def test_what_is_wrong_with_the_store_is_said() -> None:
    assert anatomy(StoreError("wrong secret"))["detail"] == "wrong secret"
    assert "detail" not in anatomy(ValueError(MARK))
