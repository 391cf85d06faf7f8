"""How fast the service is: ``python -m benchmarks.serving [--texts FILE] [--json OUT] [--rounds 3] [--requests 300]``.

Starts, one after the other and on the same texts, (a) this service, (b) a plain FastAPI service around
``transformers.pipeline`` with the same weights, (c) LitServe with the same weights; sends single complaints from one
client and from 32; prints medians over the rounds and the ratios. (b) and (c) answer the labels of the encoder alone,
(a) does everything it does in service. LitServe is skipped where it is not installed (the extra ``benchmark``).
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.soak import CORPUS, resident, texts_of, wait_for
from models.bundle import STARTER

CLIENTS = 32
PORT = 8680
MEDIAN = (150, 260)  # characters: the texts for the latency of a complaint of median length


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A service: how to start it, and the request that asks it about a text."""

    name: str
    command: list[str]
    path: str
    batch: bool

    def body(self, text: str) -> dict[str, Any]:
        return {"complaints": [{"text": text}]} if self.batch else {"text": text}


def contenders() -> list[Contender]:
    """This service, and those it is compared with as far as they are installed."""
    python, others = [sys.executable, "-P", "-m"], ["--bundle", str(STARTER), "--port", str(PORT)]
    ours = Contender(
        name="fenzhen", command=[*python, "serving.cli", "serve", "--port", str(PORT)], path="/v1/triage", batch=True
    )
    found = [ours, Contender(name="plain", command=[*python, "benchmarks.plain", *others], path="/triage", batch=False)]
    if find_spec("litserve"):
        found.append(
            Contender(name="litserve", command=[*python, "benchmarks.lit", *others], path="/triage", batch=False)
        )
    return found


@contextmanager
def running(contender: Contender, folder: Path) -> Iterator[tuple[int, float, dict[str, str]]]:
    """A started service: its process, the seconds until its first answer, the headers it wants."""
    environment = {**os.environ, "FENZHEN_DATA_DIR": str(folder), "FENZHEN_LOG_LEVEL": "error", "HF_HUB_OFFLINE": "1"}
    began = time.monotonic()
    with subprocess.Popen(
        contender.command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            ready = "/readyz" if contender.batch else "/docs"
            wait_for(f"http://127.0.0.1:{PORT}{ready}", process)
            start = time.monotonic() - began
            key = folder / "local.key"
            time.sleep(1)
            yield process.pid, start, {"Authorization": f"Bearer {key.read_text().strip()}"} if key.exists() else {}
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


async def load(
    contender: Contender, headers: dict[str, str], texts: list[str], clients: int
) -> tuple[float, list[float]]:
    """Requests a second and the seconds each took; every answer must be 200."""
    waiting, seconds = iter(texts), list[float]()
    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=clients), trust_env=False) as client:

        async def work() -> None:
            for text in waiting:
                began = time.monotonic()
                answer = await client.post(
                    f"http://127.0.0.1:{PORT}{contender.path}", json=contender.body(text), headers=headers
                )
                assert answer.status_code == 200, answer.text
                seconds.append(time.monotonic() - began)

        began = time.monotonic()
        await asyncio.gather(*(work() for _ in range(clients)))
    return len(texts) / (time.monotonic() - began), seconds


def measure(contender: Contender, texts: list[str], rounds: int) -> dict[str, float]:
    """The medians over the rounds of one contender."""
    usual = [text for text in texts if MEDIAN[0] <= len(text) <= MEDIAN[1]][:60]
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, running(contender, Path(folder)) as (process, start, headers):
        asyncio.run(load(contender, headers, texts[:40], 4))
        for _ in range(rounds):
            _, alone = asyncio.run(load(contender, headers, usual, 1))
            rate, crowd = asyncio.run(load(contender, headers, texts, CLIENTS))
            rows.append(
                {"p50 at rest, ms": 1000 * statistics.median(alone), f"requests/s, {CLIENTS} clients": rate,
                 f"p50, {CLIENTS} clients, ms": 1000 * statistics.median(crowd),
                 f"p99, {CLIENTS} clients, ms": 1000 * statistics.quantiles(crowd, n=100)[98]}
            )  # fmt: skip
        memory = sum(resident(pid) for pid in [process, *_children(process)])
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    return {**medians, "memory, MB": memory, "start, s": start}


def _children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    return [child for number in map(int, listed) for child in (number, *_children(number))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, nargs="*", default=sorted(CORPUS.glob("*.jsonl")))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    texts = texts_of(options.texts)[: options.requests]
    found = {}
    for one in track(contenders(), description="measuring", transient=True):
        found[one.name] = measure(one, texts, options.rounds)
        Console(stderr=True).print(one.name, found[one.name])
    table = Table("", *found)
    for figure in found["fenzhen"]:
        table.add_row(figure, *(f"{measured[figure]:.1f}" for measured in found.values()))
    rate = f"requests/s, {CLIENTS} clients"
    table.add_row("fenzhen's rate against it", *(f"{found['fenzhen'][rate] / m[rate]:.2f}" for m in found.values()))
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
