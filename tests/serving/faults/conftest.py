"""Real servers in processes of their own, clients that retry, and a line to the database that can be cut."""

import contextlib
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[3]
PLACES = ("青禾镇", "白石乡", "临江街道", "柳塘镇", "云岭县", "北坡村")
GRIEVANCES = ("办证拖了两个月", "窗口没人接电话", "收了钱不给发票", "路灯一直不亮", "材料要了三遍", "护栏断了没人管")


@dataclass(kw_only=True)
class Server:
    """``fenzhen serve`` on a port of its own, which stays the same when it is started again."""

    environment: dict[str, str]
    port: int = field(default_factory=lambda: free_port())
    process: subprocess.Popen[str] | None = None
    limit: Callable[[], None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Server":
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "serving.cli", "serve", "--port", str(self.port)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=self.limit,
        )
        self.wait()
        return self

    def wait(self, seconds: float = 60) -> None:
        """Until it is ready."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process is not None and self.process.poll() is None, "the server ended"
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise AssertionError("the server did not become ready")

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of the command line in the same environment."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "serving.cli", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def key(self, role: str = "case-system", source: str = "hotline", *more: str) -> str:
        """A new key, made on the command line."""
        scope = ["--source", source] if role == "case-system" else []
        done = self.run("keys", "create", "test", "--role", role, *scope, "--per-minute", "1000000", *more)
        found = re.search(r"fz_[\w-]+", done.stdout)
        assert found, done.stdout + done.stderr
        return found[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def server(tmp_path: Path, tiny_bundle: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """Makes servers that share nothing but what ``environment`` says; ends them afterwards."""
    made: list[Server] = []

    def make(**environment: str) -> Server:
        settings = {
            "FENZHEN_DATA_DIR": str(tmp_path / "data"),
            "FENZHEN_BUNDLE": str(tiny_bundle),
            "FENZHEN_THREADS": "1",
            **environment,
        }
        made.append(Server(environment=settings))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.kill()


@dataclass(kw_only=True)
class Sender:
    """A case system that retries until it has an answer: connection lost, 429, 5xx, in any order, forever."""

    urls: list[str]
    key: str
    patience: float = 120
    retries: int = 0
    received: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send_all(self, leads: list[dict[str, Any]], threads: int = 8) -> None:
        """Every lead, by several threads at once."""
        queue = list(reversed(leads))
        failures: list[BaseException] = []

        def work() -> None:
            with httpx.Client(timeout=20, trust_env=False) as client:
                while True:
                    with self.lock:
                        if not queue:
                            return
                        lead = queue.pop()
                    try:
                        self.send(client, lead)
                    except BaseException as error:
                        failures.append(error)
                        return

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert not failures, failures[0]

    def send(self, client: httpx.Client, lead: dict[str, Any]) -> None:
        end = time.monotonic() + self.patience
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": f"key-{lead['external_id']}"}
        while time.monotonic() < end:
            try:
                answer = client.post(f"{random.choice(self.urls)}/v1/leads", json=lead, headers=headers)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code in {200, 201}:
                with self.lock:
                    self.received[lead["external_id"]] = answer.json()["id"]
                return
            assert answer is None or answer.status_code == 429 or answer.status_code >= 500, answer.text
            with self.lock:
                self.retries += 1
            time.sleep(0.2)
        raise AssertionError(f"no answer for {lead['external_id']}")


@pytest.fixture
def sender() -> Callable[..., Sender]:
    return Sender


@pytest.fixture
def leads() -> Callable[[int], list[dict[str, Any]]]:
    """So many different complaints."""

    def make(count: int) -> list[dict[str, Any]]:
        return [
            {
                "external_id": f"L-{number:05}",
                "text": f"{PLACES[number % 6]}第{number}号事项，{GRIEVANCES[number // 6 % 6]}，请核实。",
                "channel": "hotline",
            }
            for number in range(count)
        ]

    return make


def stored(url: str, key: str) -> list[dict[str, Any]]:
    """Every lead there is, page by page."""
    found: list[dict[str, Any]] = []
    cursor = None
    headers = {"Authorization": f"Bearer {key}"}
    while True:
        given = {"limit": 200, **({"cursor": cursor} if cursor else {})}
        answer = httpx.get(f"{url}/v1/leads", params=given, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["leads"]
        cursor = page["next"]
        if not cursor:
            return found


@pytest.fixture
def every_lead() -> Callable[[str, str], list[dict[str, Any]]]:
    return stored


class Line:
    """A line to a TCP server that can be cut and mended, on a port of its own."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self.port = free_port()
        self.mend()

    def mend(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """Ends every connection and refuses new ones."""
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
            except OSError:
                return
            self._open += [near, far]
            threading.Thread(target=_carry, args=(near, far), daemon=True).start()


def _carry(near: socket.socket, far: socket.socket) -> None:
    try:
        while True:
            for ready in select.select([near, far], [], [], 60)[0]:
                data = ready.recv(65536)
                if not data:
                    return
                (far if ready is near else near).sendall(data)
    except (OSError, ValueError):
        return
    finally:
        for one in (near, far):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def line() -> Iterator[Callable[[str, int], Line]]:
    made: list[Line] = []

    def make(host: str, port: int) -> Line:
        made.append(Line(host, port))
        return made[-1]

    yield make
    for one in made:
        with contextlib.suppress(OSError):
            one.cut()


def report(name: str, **figures: object) -> None:
    """One line of the fault table, shown with ``pytest -rP``."""
    print(json.dumps({"fault": name, **figures}, ensure_ascii=False))


@pytest.fixture
def fault_table() -> Callable[..., None]:
    return report
