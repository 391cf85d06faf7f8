"""What was accepted is there, once, whatever happens to the server."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx


def test_killed_in_the_middle_of_a_thousand(
    server: Callable[..., Any], sender: Callable[..., Any], leads: Callable[[int], list[dict[str, Any]]],
    every_lead: Callable[[str, str], list[dict[str, Any]]], fault_table: Callable[..., None],
) -> None:  # fmt: skip
    one = server().start()
    case_system = sender(urls=[one.url], key=one.key())
    sent = leads(1000)
    sending = threading.Thread(target=case_system.send_all, args=(sent,))
    sending.start()
    kills = 0
    while sending.is_alive() and kills < 3:
        reached = len(case_system.received)
        target = reached + random.randint(60, 200)
        while sending.is_alive() and len(case_system.received) < target:
            time.sleep(0.01)
        if sending.is_alive():
            one.kill()
            kills += 1
            one.start()
    sending.join()
    found = Counter(lead["external_id"] for lead in every_lead(one.url, case_system.key))
    ids = {lead["external_id"]: lead["id"] for lead in every_lead(one.url, case_system.key)}
    duplicates = sum(count - 1 for count in found.values())
    fault_table(
        "kill -9", kills=kills, sent=len(sent), found=len(found), duplicates=duplicates, retries=case_system.retries
    )
    assert kills >= 2 and case_system.retries > 0
    assert set(found) == {lead["external_id"] for lead in sent}
    assert duplicates == 0
    assert ids == case_system.received
    verified = one.run("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_stopped_with_requests_under_way_it_answers_them_all(
    server: Callable[..., Any], leads: Callable[[int], list[dict[str, Any]]],
    every_lead: Callable[[str, str], list[dict[str, Any]]], fault_table: Callable[..., None],
) -> None:  # fmt: skip
    one = server().start()
    key = one.key()
    batches = [leads(600)[start : start + 50] for start in range(0, 600, 50)]
    answers: list[int] = []

    def send(batch: list[dict[str, Any]]) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        try:
            answer = httpx.post(f"{one.url}/v1/leads:batch", json={"leads": batch}, headers=headers, timeout=60)
        except httpx.TransportError:
            return
        if answer.status_code < 300:
            answers.append(sum(item["outcome"] == "created" for item in answer.json()["leads"]))

    threads = [threading.Thread(target=send, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    while not answers:
        time.sleep(0.01)
    assert one.stop() in {0, -signal.SIGTERM}
    for thread in threads:
        thread.join()
    one.start()
    found = every_lead(one.url, key)
    fault_table("SIGTERM under load", accepted=sum(answers), found=len(found))
    assert len(found) >= sum(answers) > 0
    assert max(Counter(lead["external_id"] for lead in found).values()) == 1
