"""Memory over time: ``python -m benchmarks.soak --minutes 20 [--texts FILE] [--json OUT]``.

Starts the service on an empty data folder, sends leads from a few clients, and notes every half minute how
much memory it holds and how many leads it has stored. At the end every lead that was accepted must be there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

CORPUS = Path(__file__).parents[1] / "data" / "corpus"
CLIENTS = 4
EVERY = 30.0  # seconds
PORT = 8690


def texts_of(files: list[Path]) -> list[str]:
    """The texts of JSON lines; rows given as turns are left out."""
    rows = (json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines())
    return [row["text"] for row in rows if "text" in row]


def resident(process: int) -> float:
    """Megabytes of memory that a process holds."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


class Load:
    """Clients that send one lead after another."""

    def __init__(self, url: str, key: str, texts: list[str]) -> None:
        self.url, self.headers, self.texts = url, {"Authorization": f"Bearer {key}"}, texts
        self.accepted = self.refused = 0
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._next = 0

    def run(self) -> None:
        with httpx.Client(timeout=60, trust_env=False) as client:
            while not self.stopped.is_set():
                with self._lock:
                    number, self._next = self._next, self._next + 1
                body = {"external_id": f"soak-{number}", "text": self.texts[number % len(self.texts)]}
                answer = client.post(f"{self.url}/v1/leads", json=body, headers=self.headers)
                with self._lock:
                    self.accepted += answer.status_code == 201
                    self.refused += answer.status_code != 201


def soak(minutes: float, texts: list[str], folder: Path) -> dict[str, Any]:
    """The memory samples, and how many leads were accepted and found."""
    environment = {**os.environ, "FENZHEN_DATA_DIR": str(folder), "FENZHEN_LOG_LEVEL": "error"}
    command = [sys.executable, "-P", "-m", "serving.cli", "serve", "--port", str(PORT)]
    url = f"http://127.0.0.1:{PORT}"
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(f"{url}/readyz", server)
            load = Load(url, (folder / "local.key").read_text().strip(), texts)
            clients = [threading.Thread(target=load.run) for _ in range(CLIENTS)]
            for client in clients:
                client.start()
            samples = _watch(minutes, server.pid, load)
            load.stopped.set()
            for client in clients:
                client.join()
            found = _count(url, load.headers)
        finally:
            server.terminate()
    return {"samples": samples, "accepted": load.accepted, "refused": load.refused, "found": found}


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until ``url`` answers 200; ends the program if the server ends first."""
    while not _answers(url):
        if process.poll() is not None:
            raise SystemExit(f"the server did not start: {process.args!r}")
        time.sleep(0.02)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _watch(minutes: float, process: int, load: Load) -> list[dict[str, float]]:
    samples, began = [], time.monotonic()
    with Progress() as progress:
        bar = progress.add_task("soak", total=minutes * 60)
        while (passed := time.monotonic() - began) < minutes * 60:
            samples.append({"minute": round(passed / 60, 1), "mb": round(resident(process), 1), "leads": load.accepted})
            progress.update(bar, completed=passed)
            time.sleep(EVERY)
    return samples


def _count(url: str, headers: dict[str, str]) -> int:
    found, cursor = 0, None
    while True:
        params = {"limit": 200, **({"cursor": cursor} if cursor else {})}
        page = httpx.get(f"{url}/v1/leads", params=params, headers=headers, timeout=60).json()
        found, cursor = found + len(page["leads"]), page["next"]
        if cursor is None:
            return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--texts", type=Path, nargs="*", default=sorted(CORPUS.glob("*.jsonl")))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(options.minutes, texts_of(options.texts), Path(folder))
    table = Table("minute", "MB", "leads stored")
    for sample in result["samples"][:: max(1, len(result["samples"]) // 10)]:
        table.add_row(str(sample["minute"]), str(sample["mb"]), str(sample["leads"]))
    Console().print(table)
    print(f"accepted {result['accepted']}, refused {result['refused']}, found {result['found']}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
