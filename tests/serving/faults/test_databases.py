"""A database that goes away, fills up, or has two servers."""

import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url

AWAY = 20.0  # seconds


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def postgresql(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of its own on the PostgreSQL at hand."""
    yield request.getfixturevalue("postgresql_url")


def test_the_database_is_gone_for_twenty_seconds_and_back(
    server: Callable[..., Any], sender: Callable[..., Any], leads: Callable[[int], list[dict[str, Any]]],
    every_lead: Callable[[str, str], list[dict[str, Any]]], line: Callable[[str, int], Any], postgresql: str,
    fault_table: Callable[..., None],
) -> None:  # fmt: skip
    url = make_url(postgresql)
    wire = line(url.host or "127.0.0.1", url.port or 5432)
    through = url.set(host="127.0.0.1", port=wire.port).render_as_string(hide_password=False)
    one = server(FENZHEN_DATABASE_URL=through)
    assert one.run("db", "upgrade").returncode == 0
    one.start()
    case_system = sender(urls=[one.url], key=one.key())
    sent = leads(300)
    sending = threading.Thread(target=case_system.send_all, args=(sent,))
    sending.start()
    while len(case_system.received) < 100:
        time.sleep(0.01)
    wire.cut()
    gone = time.monotonic()
    answers = set()
    while time.monotonic() < gone + AWAY:
        answer = httpx.get(f"{one.url}/v1/leads", headers=headers(case_system.key), timeout=30)
        answers.add(answer.status_code)
        assert answer.status_code in {401, 503}, answer.text
        assert httpx.get(f"{one.url}/healthz", timeout=5).status_code == 200
        assert httpx.get(f"{one.url}/readyz", timeout=15).status_code == 503
        time.sleep(1)
    wire.mend()
    back = time.monotonic()
    one.wait()
    recovered = time.monotonic() - back
    sending.join()
    found = Counter(lead["external_id"] for lead in every_lead(one.url, case_system.key))
    fault_table(
        "database gone for 20 s", sent=len(sent), found=len(found), duplicates=sum(found.values()) - len(found),
        retries=case_system.retries, ready_again_s=round(recovered, 1),
    )  # fmt: skip
    assert 503 in answers
    assert recovered < 15
    assert set(found) == {lead["external_id"] for lead in sent}
    assert max(found.values()) == 1
    assert one.run("audit", "verify").returncode == 0


def test_two_servers_on_one_database(
    server: Callable[..., Any], sender: Callable[..., Any], leads: Callable[[int], list[dict[str, Any]]],
    every_lead: Callable[[str, str], list[dict[str, Any]]], postgresql: str, fault_table: Callable[..., None],
    tmp_path: Path,
) -> None:  # fmt: skip
    secret = str(tmp_path / "shared.key")
    both = [server(FENZHEN_DATABASE_URL=postgresql, FENZHEN_SECRET_FILE=secret) for _ in range(2)]
    assert both[0].run("db", "upgrade").returncode == 0
    for one in both:
        one.start()
    key = both[0].key()
    sent = leads(200)
    systems = [sender(urls=[one.url for one in both], key=key) for _ in range(3)]
    threads = [threading.Thread(target=system.send_all, args=(sent, 4)) for system in systems]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Counter(lead["external_id"] for lead in every_lead(both[1].url, key))
    fault_table(
        "two servers, each lead sent three times at once", sent=3 * len(sent), found=len(found),
        duplicates=sum(found.values()) - len(found),
    )  # fmt: skip
    assert set(found) == {lead["external_id"] for lead in sent}
    assert max(found.values()) == 1
    assert systems[0].received == systems[1].received == systems[2].received
    assert both[0].run("audit", "verify").returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_the_disk_is_full_and_then_is_not(
    server: Callable[..., Any], leads: Callable[[int], list[dict[str, Any]]],
    every_lead: Callable[[str, str], list[dict[str, Any]]], small_disk: Path, fault_table: Callable[..., None],
) -> None:  # fmt: skip
    one = server(FENZHEN_DATA_DIR=str(small_disk)).start()
    key = one.key()
    ballast = small_disk / "ballast"
    accepted, refused, filled = [], 0, False
    for lead in leads(200):
        if len(accepted) == 20 and not filled:
            _fill(ballast)
            filled = True
        answer = httpx.post(f"{one.url}/v1/leads", json=lead, headers=headers(key), timeout=30)
        if answer.status_code == 201:
            accepted.append(lead["external_id"])
            continue
        refused += 1
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] == "database_unavailable"
        if refused == 5:
            ballast.unlink()
    found = [lead["external_id"] for lead in every_lead(one.url, key)]
    fault_table("disk full", accepted=len(accepted), refused=refused, found=len(found))
    assert (len(accepted), refused) == (195, 5)
    assert sorted(found) == sorted(accepted)
    assert one.run("audit", "verify").returncode == 0


def _fill(file: Path) -> None:
    """Takes every byte that is left."""
    with file.open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(b"\0" * 4096)
        except OSError:
            pass
