"""The service as a caller meets it: answers, refusals, logs, start and documentation page."""

import asyncio
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from data.errors import BundleError
from data.transcript import complaint_from_text
from models.triage import Triager
from serving.app import create_app
from serving.problems import MEDIA_TYPE
from serving.routes.triage import EXAMPLES
from serving.settings import Settings
from serving.wire import triage_json

TEXT = "窗口让我跑了三趟，每次要的材料都不一样，办一个证拖了两个月。"
SECRET = "李某某绝密诉求内容"
JSON_TYPE = {"Content-Type": "application/json"}
CHINESE = re.compile("[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def client(open_service: Any) -> Iterator[TestClient]:
    with open_service() as client:
        yield client


def post(client: TestClient, *complaints: object) -> Any:
    body = json.dumps({"complaints": complaints})
    return client.post("/v1/triage", content=body, headers=JSON_TYPE)


def send(client: TestClient, body: bytes | Iterator[bytes], **headers: str) -> Any:
    return client.post("/v1/triage", content=body, headers={**JSON_TYPE, **headers})


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The problem body, which is complete, in Chinese, and tells the request id."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    body: dict[str, Any] = response.json()
    assert set(body) == {"type", "title", "status", "detail", "code", "request_id", "errors"}
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:fenzhen:problem:{code}")
    assert CHINESE.search(body["title"])
    assert CHINESE.search(body["detail"])
    assert body["request_id"] == response.headers["x-request-id"]
    for fault in body["errors"]:
        assert set(fault) == {"where", "field", "code", "detail"}
        assert CHINESE.search(fault["detail"])
        assert re.fullmatch("[a-z_]+", fault["code"])
    return body


# --- answers


def test_the_answer_is_what_the_triager_decides(client: TestClient, triager: Triager) -> None:
    response = post(client, {"id": "a-1", "text": TEXT, "channel": "qr"})
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == {"request_id", "triages", "rejected"}
    assert answer["rejected"] == []
    expected = triager.triage([complaint_from_text("a-1", TEXT)])
    assert answer["triages"] == [triage_json(one, triager.policy) for one in expected]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_documented_examples_run(client: TestClient, name: str) -> None:
    documented = client.get("/openapi.json").json()["paths"]["/v1/triage"]["post"]["requestBody"]
    example = documented["content"]["application/json"]["examples"][name]["value"]
    response = client.post("/v1/triage", json=example)
    assert response.status_code == 200
    assert response.json()["rejected"] == []
    given = [complaint["id"] for complaint in example["complaints"]]
    assert [triage["id"] for triage in response.json()["triages"]] == given


@pytest.mark.parametrize(
    "text", ["縣市監局２０㎡門面😀，推來推去！", "𠮷野家门口\r\n被占道", "😡", "。。。", "a" * 3000]
)
def test_evidence_survives_the_wire(client: TestClient, text: str) -> None:
    response = post(client, {"text": text}, {"turns": [{"speaker": "citizen", "text": text}] * 2})
    assert response.json()["rejected"] == []
    for triage in response.json()["triages"]:
        tags = [*triage["misconduct"], triage["department"], triage["urgency"]]
        for span in (span for tag in tags for span in tag["evidence"]):
            assert span["text"] == text[span["start"] : span["end"]]
            assert span.get("turn", 0) in {0, 1}


def test_order_is_kept_and_a_batch_equals_one_by_one(client: TestClient) -> None:
    complaints = [{"id": f"n-{number}", "text": TEXT * (1 + number * 7 % 5) + "路灯" * number} for number in range(12)]
    together = post(client, *complaints).json()["triages"]
    assert [triage["id"] for triage in together] == [complaint["id"] for complaint in complaints]
    assert together == [post(client, complaint).json()["triages"][0] for complaint in complaints]


def test_a_missing_id_is_the_index(client: TestClient) -> None:
    answer = post(
        client, {"text": TEXT}, {"id": "b", "text": TEXT}, {"id": None, "text": TEXT}, {"id": 77, "text": TEXT}
    )
    assert [triage["id"] for triage in answer.json()["triages"]] == ["0", "b", "2", "77"]


def test_eight_at_once_get_their_own_answers(client: TestClient, triager: Triager) -> None:
    texts = [TEXT[start:] for start in range(8)]
    expected = [triage_json(triager.triage([complaint_from_text("0", text)])[0], triager.policy) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: post(client, {"text": text}).json(), texts * 4))
    assert [answer["triages"][0] for answer in answers] == expected * 4
    assert len({answer["request_id"] for answer in answers}) == 32


def test_inference_leaves_the_event_loop_free(open_service: Any) -> None:
    many = {"complaints": [{"text": TEXT * 20}] * 40}
    with open_service() as client:
        transport = httpx.ASGITransport(client.app)

        async def converse() -> None:
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as other:
                assert (await other.get("/healthz")).json() == {"status": "ok"}

        with ThreadPoolExecutor(3) as pool:
            work = [pool.submit(client.post, "/v1/triage", json=many) for _ in range(3)]
            while not client.app.state.runtime.engine.depth:
                time.sleep(0.001)
            asyncio.run(converse())
            assert not all(task.done() for task in work)
            assert [task.result().status_code for task in work] == [200] * 3


def test_taxonomy_route(client: TestClient, triager: Triager) -> None:
    answer = client.get("/v1/taxonomy").json()
    assert [kind["id"] for kind in answer["types"]] == list(triager.taxonomy.misconduct_ids)
    assert answer["versions"] == post(client, {"text": TEXT}).json()["triages"][0]["versions"]


# --- complaints that cannot be taken

BAD_COMPLAINTS: dict[str, tuple[object, str]] = {
    "empty": ({"id": "x", "text": ""}, "text"),
    "whitespace": ({"id": "x", "text": " \n\t\u3000"}, "text"),
    "too long": ({"id": "x", "text": "长" * 200_000}, "text"),
    "binary": ({"id": "x", "text": "PK\u0003\u0004\u0000\u0000\u0000\u0001\u0002" * 20}, "text"),
    "half a surrogate pair": ({"id": "x", "text": "投诉\ud800窗口"}, "text"),
    "text is a number": ({"id": "x", "text": 5}, "text"),
    "text is deep": ({"id": "x", "text": [[[[[[]]]]]]}, "text"),
    "unknown field": ({"id": "x", "text": TEXT, "titel": "a"}, "titel"),
    "both text and turns": ({"id": "x", "text": TEXT, "turns": [{"speaker": "citizen", "text": TEXT}]}, "turns"),
    "neither text nor turns": ({"id": "x"}, "text"),
    "unknown channel": ({"id": "x", "text": TEXT, "channel": "fax"}, "channel"),
    "no turns": ({"id": "x", "turns": []}, "turns"),
    "turns is text": ({"id": "x", "turns": TEXT}, "turns"),
    "a turn without text": ({"id": "x", "turns": [{"speaker": "citizen"}]}, "turns"),
    "a turn with an unknown field": ({"id": "x", "turns": [{"speaker": "citizen", "text": TEXT, "at": 1}]}, "turns"),
    "empty turns": ({"id": "x", "turns": [{"speaker": "citizen", "text": " "}]}, "turns"),
    "not an object": (TEXT, ""),
    "null": (None, ""),
    "id is a list": ({"id": [7], "text": TEXT}, "id"),
    "id is too long": ({"id": "7" * 201, "text": TEXT}, "id"),
    "unknown field of megabytes": ({"id": "x", "text": TEXT, "题" * 1_000_000: 1}, "题"),
    "id is half a surrogate pair": ({"id": "\ud800", "text": TEXT}, "id"),
}


@pytest.mark.parametrize(("bad", "field"), BAD_COMPLAINTS.values(), ids=BAD_COMPLAINTS)
def test_a_bad_complaint_does_not_stop_the_good_ones(client: TestClient, bad: object, field: str) -> None:
    response = post(client, {"id": "first", "text": TEXT}, bad, {"id": "last", "text": TEXT})
    assert response.status_code == 200
    assert [triage["id"] for triage in response.json()["triages"]] == ["first", "last"]
    (rejected,) = response.json()["rejected"]
    assert set(rejected) == {"index", "id", "code", "detail", "field"}
    assert rejected["index"] == 1
    assert rejected["field"].startswith(field)
    assert bool(rejected["field"]) == bool(field)
    assert re.fullmatch("[a-z_]+", rejected["code"])
    assert CHINESE.search(rejected["detail"])
    assert len(response.content) < 20_000


@pytest.mark.parametrize(("bad", "field"), BAD_COMPLAINTS.values(), ids=BAD_COMPLAINTS)
def test_nothing_but_bad_complaints_is_a_problem_that_lists_them(client: TestClient, bad: object, field: str) -> None:
    body = problem(post(client, bad, {"id": "y", "text": ""}), 422, "complaints_rejected")
    assert [fault["where"] for fault in body["errors"]] == ["complaints[0]", "complaints[1]"]
    assert body["errors"][0]["field"].startswith(field)


def test_ids_that_occur_twice_are_refused(client: TestClient) -> None:
    response = post(client, {"id": "a", "text": TEXT}, {"id": "b", "text": TEXT}, {"id": "a", "text": "别的"})
    body = problem(response, 422, "id_duplicate")
    assert [fault["where"] for fault in body["errors"]] == ["complaints[0]", "complaints[2]"]


def test_an_id_that_equals_the_index_of_another_is_refused(client: TestClient) -> None:
    problem(post(client, {"id": 1, "text": TEXT}, {"text": ""}), 422, "id_duplicate")


def test_one_complaint_too_many_is_refused(client: TestClient) -> None:
    assert post(client, *[{"text": "路灯坏了"}] * 500).status_code == 200
    assert "500" in problem(post(client, *[{"text": "路灯坏了"}] * 501), 422, "too_many_complaints")["detail"]


# --- bodies that cannot be read

BAD_BODIES: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "json_invalid"),
    "broken": (b'{"complaints": [', 400, "json_invalid"),
    "binary": (bytes(range(256)), 400, "encoding_invalid"),
    "gb18030": (
        json.dumps({"complaints": [{"text": TEXT}]}, ensure_ascii=False).encode("gb18030"),
        400,
        "encoding_invalid",
    ),
    "utf-16": (json.dumps({"complaints": [{"text": TEXT}]}).encode("utf-16"), 400, "encoding_invalid"),
    "deep": (b"[" * 200_000, 400, "json_too_deep"),
    "deep inside": (b'{"complaints": [' + b'{"text": ' * 100_000, 400, "json_too_deep"),
    "a number of 5000 digits": (b'{"complaints": [' + b"9" * 5000 + b"]}", 400, "json_invalid"),
    "a list": (b"[]", 422, "request_invalid"),
    "a string": (b'"text"', 422, "request_invalid"),
    "null": (b"null", 422, "request_invalid"),
    "no complaints": (b"{}", 422, "request_invalid"),
    "empty complaints": (b'{"complaints": []}', 422, "request_invalid"),
    "complaints is text": (b'{"complaints": "a"}', 422, "request_invalid"),
    "unknown field": (b'{"complaints": [{"text": "a"}], "model": "x"}', 422, "request_invalid"),
    "unknown field of half a surrogate pair": (b'{"\\ud800": 1}', 422, "request_invalid"),
}


@pytest.mark.parametrize(("body", "status", "code"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_bad_body_is_a_problem(client: TestClient, body: bytes, status: int, code: str) -> None:
    problem(send(client, body), status, code)


def test_a_wrong_envelope_names_the_field(client: TestClient) -> None:
    errors = problem(send(client, b'{"complaint": 1}'), 422, "request_invalid")["errors"]
    assert {(fault["field"], fault["code"]) for fault in errors} == {
        ("complaints", "field_missing"),
        ("complaint", "field_unknown"),
    }


def test_a_byte_order_mark_does_no_harm(client: TestClient) -> None:
    assert send(client, b"\xef\xbb\xbf" + json.dumps({"complaints": [{"text": TEXT}]}).encode()).status_code == 200


def test_a_body_of_over_ten_megabytes_is_refused(client: TestClient) -> None:
    body = b'{"complaints": [{"text": "' + b"a" * (10 * 1024 * 1024) + b'"}]}'
    problem(send(client, body), 413, "body_too_large")


def test_an_endless_body_is_refused_once_it_is_too_large(client: TestClient) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(20):
            sent += 1024 * 1024
            yield b" " * 1024 * 1024

    problem(send(client, chunks()), 413, "body_too_large")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=UTF-8", 200),
        ("Application/JSON", 200),
        ("application/json; charset=gbk", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
def test_only_json_is_taken(client: TestClient, content_type: str, status: int) -> None:
    response = send(client, json.dumps({"complaints": [{"text": TEXT}]}).encode(), **{"Content-Type": content_type})
    assert response.status_code == status
    if status == 415:
        problem(response, 415, "content_type_unsupported")


def test_a_compressed_body_is_refused(client: TestClient) -> None:
    problem(send(client, b"\x1f\x8b", **{"Content-Encoding": "gzip"}), 415, "content_encoding_unsupported")


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/triage/", "/v2/triage", "/%00", "/" + "a" * 5000])
def test_an_unknown_address_is_a_problem(client: TestClient, path: str) -> None:
    problem(client.get(path), 404, "not_found")


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/triage"), ("DELETE", "/v1/taxonomy"), ("POST", "/healthz")])
def test_a_wrong_method_is_a_problem_that_names_the_right_one(client: TestClient, method: str, path: str) -> None:
    response = client.request(method, path)
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] in {"GET", "POST"}


def test_a_wrong_parameter_of_any_route_is_a_problem(open_service: Any) -> None:
    with open_service() as client:

        @client.app.get("/numbers")
        def numbers(number: int) -> int:
            return number

        body = problem(client.get("/numbers?number=abc"), 422, "request_invalid")
    assert [(fault["where"], fault["field"]) for fault in body["errors"]] == [("query", "number")]


# --- request ids, logs, faults of our own


def test_a_sane_request_id_is_kept(client: TestClient) -> None:
    response = client.post("/v1/triage", json={"complaints": [{"text": TEXT}]}, headers={"X-Request-ID": "case-7.1_a"})
    assert response.headers["x-request-id"] == response.json()["request_id"] == "case-7.1_a"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\tb", '"quoted"'])
def test_any_other_request_id_is_replaced(client: TestClient, given: str) -> None:
    response = client.get("/healthz", headers={"X-Request-ID": given})
    assert re.fullmatch("[0-9a-f-]{36}", response.headers["x-request-id"])


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.message) for record in caplog.records if record.name == "fenzhen.http"]


def test_a_request_leaves_one_line_that_counts(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        response = post(client, {"text": TEXT}, {"text": ""})
    (line,) = lines(caplog)
    assert line.pop("ms") >= line.pop("body_ms") >= 0
    assert line.pop("actor").startswith("key:")
    assert line == {
        "event": "request",
        "request_id": response.json()["request_id"],
        "method": "POST",
        "route": "/v1/triage",
        "status": 200,
        "triaged": 1,
        "rejected": 1,
    }


def test_no_log_has_complaint_text(open_service: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), open_service() as client:

        @client.app.post("/broken")
        def broken(complaint: str) -> None:
            raise ValueError(complaint)

        post(client, {"id": SECRET, "text": SECRET, "channel": "qr"})
        post(client, {"text": SECRET, SECRET: SECRET}, {"text": SECRET, "channel": SECRET})
        send(client, f'{{"{SECRET}": '.encode())
        send(client, SECRET.encode("gb18030"))
        client.get(f"/v1/{SECRET}")
        client.post("/broken", params={"complaint": SECRET})
    logged = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert [line["event"] for line in lines(caplog)] == ["request"] * 5 + ["failure", "request"]
    for record in logged:
        assert SECRET not in record.getMessage() + str(record.exc_text) + str(record.exc_info)
        assert "%E6%9D%8E" not in record.getMessage()


def test_a_fault_of_ours_tells_the_caller_nothing_internal(open_service: Any, caplog: pytest.LogCaptureFixture) -> None:
    with open_service() as client:

        @client.app.get("/broken")
        def broken() -> None:
            raise BundleError("/srv/secret/encoder.onnx: file digest differs")

        @client.app.get("/broken-otherwise")
        def broken_otherwise() -> None:
            raise KeyError("/srv/secret")

        for path in ("/broken", "/broken-otherwise"):
            assert "secret" not in str(problem(client.get(path), 500, "internal_error"))
    failures = [line for line in lines(caplog) if line["event"] == "failure"]
    assert [failure["error"] for failure in failures] == ["BundleError", "KeyError"]
    assert all("test_http.py" in failure["at"][-1] for failure in failures)


def test_a_caller_who_leaves_is_no_failure(open_service: Any, caplog: pytest.LogCaptureFixture) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send_nothing(message: Any) -> None:
        sent.append(message)

    with open_service() as client, caplog.at_level(logging.INFO):
        key = client.headers["Authorization"].encode()
        headers = [(b"content-type", b"application/json"), (b"authorization", key)]
        scope = {"type": "http", "method": "POST", "path": "/v1/triage", "query_string": b"", "headers": headers}
        asyncio.run(client.app(scope, receive, send_nothing))
    assert sent == []
    assert [(line["event"], line["status"]) for line in lines(caplog)] == [("request", 499)]


# --- start, readiness, documentation


def test_before_it_has_started_only_health_answers(tmp_path: Path) -> None:
    before = TestClient(create_app(Settings(data_dir=tmp_path)))
    assert before.get("/healthz").json() == {"status": "ok"}
    problem(before.get("/readyz"), 503, "not_ready")
    problem(post(before, {"text": TEXT}), 503, "not_ready")


def test_the_model_is_loaded_when_the_service_starts(open_service: Any, tiny_bundle: Path, triager: Triager) -> None:
    with open_service(decides=None, bundle=tiny_bundle, threads=1) as client:
        versions = client.get("/readyz").json()["versions"]
        assert versions == post(client, {"text": TEXT}).json()["triages"][0]["versions"]
        assert versions["bundle"] == triager.versions.bundle


def test_a_bundle_that_is_not_there_keeps_the_service_from_starting(tmp_path: Path) -> None:
    app = create_app(Settings(bundle=tmp_path, data_dir=tmp_path))
    with pytest.raises(BundleError, match=r"bundle\.json"), TestClient(app):
        pass


def test_without_a_key_nothing_is_told(client: TestClient) -> None:
    for path in ("/v1/taxonomy", "/openapi.json", "/v1/leads", "/v1/events", "/metrics"):
        problem(client.get(path, headers={"Authorization": ""}), 401, "unauthenticated")
    page = client.get("/docs", headers={"Authorization": ""}, follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/docs")


def test_the_documentation_page_needs_no_other_host(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "//" not in re.sub(r"<!--.*?-->|// .*", "", page)
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(assets) == 3
    for asset in assets:
        assert client.get(asset).status_code == 200
    assert client.get("/redoc").status_code == 404


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from references(child)


def test_the_openapi_document_is_complete_and_in_chinese(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert {f"#/components/schemas/{name}" for name in schemas} >= set(references(document))
    assert {"TriageRequest", "ComplaintRequest", "TriageAnswer", "Problem"} <= set(schemas)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert all(CHINESE.search(operation["summary"]) for operation in operations)
    assert all(CHINESE.search(field["description"]) for field in schemas["ComplaintRequest"]["properties"].values())


def test_every_documented_field_is_taken(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    channels = schemas["Channel"]["enum"]
    answer = post(client, *({"id": channel, "text": TEXT, "channel": channel} for channel in channels)).json()
    assert len(answer["triages"]) == len(channels)
    assert set(schemas["ComplaintRequest"]["properties"]) == {"id", "text", "turns", "channel"}
    assert set(schemas["TurnRequest"]["properties"]) == {"speaker", "text"}


def test_importing_the_service_loads_no_training_library() -> None:
    code = (
        "import sys, serving.app\n"
        "print(*{'torch', 'transformers', 'datasets', 'sklearn', 'pandas', 'training'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_each_service_stands_alone(open_service: Any) -> None:
    with open_service(max_complaints=1) as first, open_service() as second:
        problem(post(first, {"text": TEXT}, {"text": TEXT}), 422, "too_many_complaints")
        assert post(second, {"text": TEXT}, {"text": TEXT}).status_code == 200


def test_settings_bound_the_body(open_service: Any) -> None:
    with open_service(max_body_bytes=1024) as client:
        problem(send(client, b" " * 1025), 413, "body_too_large")
        problem(send(client, b" " * 1024), 400, "json_invalid")
