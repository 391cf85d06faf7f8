"""The command line as a person or a script runs it: what comes out, where, and with which exit code."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from data.policy_files import load_policy
from data.policy_schema import Policy
from data.transcript import complaint_from_text
from models.triage import Triager
from serving import output
from serving.cli import main
from serving.inputs import source_of
from serving.wire import triage_json

ROOT = Path(__file__).parents[2]
PASSED_ON = "窗口让找县市监局，市监局又说归镇里管，互相推诿"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run of the command line left behind."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Fenzhen = Callable[..., Run]
RULES = """
rules:
  - id: bp-001
    supports: {misconduct: buck_passing}
    strength: strong
    terms: [踢皮球, 互相推诿]
    examples:
      match: [窗口踢皮球, %s]
      no_match: [孩子玩, 路灯坏]
"""


@pytest.fixture(scope="module")
def one_rule(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy folder with a single rule: loads at once, where all the shipped ones take a while."""
    folder = tmp_path_factory.mktemp("policy")
    write_rule(folder, "部门踢皮球")
    return folder


def write_rule(folder: Path, second_row: str) -> None:
    (folder / "rules").mkdir(parents=True, exist_ok=True)
    (folder / "rules" / "mine.yaml").write_text(RULES % second_row, encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def loaded_once() -> Iterator[None]:
    """What is loaded stays the real thing, but each bundle is loaded once for the whole module, not for every run."""
    load, kept = Triager.load, {}

    def remembered(bundle: Path, policy: Policy, threads: int = 0) -> Triager:
        key = (bundle, policy.rules_digest)
        if key not in kept:
            kept[key] = load(bundle, policy, threads)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Triager, "load", remembered)
        yield


@pytest.fixture(scope="module")
def triager(loaded_once: None, tiny_bundle: Path, one_rule: Path) -> Triager:
    return Triager.load(tiny_bundle, load_policy(one_rule), threads=1)


@pytest.fixture
def fenzhen(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_bundle: Path,
    one_rule: Path,
    tmp_path: Path,
) -> Fenzhen:
    """Runs the command line in this process and a folder of its own; ``stdin`` is bytes."""
    monkeypatch.setenv("FENZHEN_BUNDLE", str(tiny_bundle))
    monkeypatch.setenv("FENZHEN_POLICY_DIR", str(one_rule))
    monkeypatch.setenv("FENZHEN_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: bytes = b"") -> Run:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            main(arguments)
        captured = capsys.readouterr()
        return Run(code=int(left.value.code or 0), out=captured.out, err=captured.err)

    return run


def json_lines(*rows: object) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def test_json_of_a_string_is_the_wire_form(fenzhen: Fenzhen, triager: Triager) -> None:
    run = fenzhen("triage", PASSED_ON, "--json")
    expected = triage_json(triager.triage([complaint_from_text("1", PASSED_ON)])[0], triager.policy)
    assert (run.code, run.err) == (0, "")
    assert run.rows == [expected]


def test_json_lines_from_stdin_keep_ids_and_order_over_chunks(fenzhen: Fenzhen) -> None:
    ids = [f"n{number}" for number in range(150)]
    run = fenzhen("triage", "--json", stdin=json_lines(*({"id": id, "text": f"{id}号 {PASSED_ON}"} for id in ids)))
    assert run.code == 0
    assert [row["id"] for row in run.rows] == ids
    assert "研判 150 条" in run.err


def test_bad_rows_go_to_the_rejects_file_with_the_reason(fenzhen: Fenzhen, tmp_path: Path) -> None:
    stdin = json_lines({"id": "a", "text": PASSED_ON}, {"id": "b", "text": " "}) + b"{broken\n" + json_lines(
        {"id": "c", "text": PASSED_ON, "colour": 1}, {"id": "d", "text": PASSED_ON}
    )  # fmt: skip
    run = fenzhen("triage", "--json", stdin=stdin)
    assert run.code == 1
    assert [row["id"] for row in run.rows] == ["a", "d"]
    rejected = [json.loads(line) for line in (tmp_path / "fenzhen.rejects.jsonl").read_text("utf-8").splitlines()]
    assert [(row["row"], row["code"]) for row in rejected] == [
        (2, "text_empty"),
        (3, "json_invalid"),
        (4, "field_unknown"),
    ]
    assert all(row["reason"] for row in rejected)
    assert "研判 2 条，退回 3 条" in run.err and "fenzhen.rejects.jsonl" in run.err


def test_files_of_several_kinds_at_once(fenzhen: Fenzhen, tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_text(f"工单号,诉求内容\nw1,{PASSED_ON}\nw2,\n", encoding="gb18030")
    (tmp_path / "more.jsonl").write_bytes(json_lines({"id": "m1", "text": "路灯不亮"}))
    run = fenzhen("triage", "leads.csv", "more.jsonl", PASSED_ON, "--text", "谢谢", "--json")
    assert run.code == 1
    assert [row["id"] for row in run.rows] == ["w1", "m1", "3", "4"]
    assert (tmp_path / "leads.csv.rejects.jsonl").exists()
    assert not (tmp_path / "more.jsonl.rejects.jsonl").exists()


def test_column_names_can_be_said(fenzhen: Fenzhen, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text(f"甲,乙,丙\nz9,{PASSED_ON},扫码\n", encoding="utf-8")
    unsaid = fenzhen("triage", "odd.csv", "--json")
    assert unsaid.code == 2
    assert "odd.csv" in unsaid.err and "--column-text" in unsaid.err and not unsaid.out
    named = ("--column-text", "乙", "--column-id", "甲", "--column-channel", "丙")
    assert [row["id"] for row in fenzhen("triage", "odd.csv", "--json", *named).rows] == ["z9"]


def test_a_file_that_cannot_be_read_does_not_stop_the_next(fenzhen: Fenzhen, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "good.jsonl").write_bytes(json_lines({"id": "g", "text": PASSED_ON}))
    run = fenzhen("triage", "empty.csv", "good.jsonl", "--json")
    assert (run.code, [row["id"] for row in run.rows]) == (1, ["g"])
    assert "empty.csv" in run.err and "1 处未能读取" in run.err


def test_out_and_rejects_files(fenzhen: Fenzhen, tmp_path: Path) -> None:
    stdin = json_lines({"id": "a", "text": PASSED_ON}, {"id": "b"})
    run = fenzhen("triage", "--json", "--out", "out.jsonl", "--rejects", "bad.jsonl", stdin=stdin)
    assert (run.code, run.out) == (1, "")
    assert [json.loads(line)["id"] for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()] == ["a"]
    assert json.loads((tmp_path / "bad.jsonl").read_text("utf-8"))["code"] == "field_missing"
    run = fenzhen("triage", PASSED_ON, "--out", "table.txt")
    assert (run.code, run.out) == (0, "")
    assert PASSED_ON in (tmp_path / "table.txt").read_text("utf-8")


@pytest.mark.parametrize("option", ["--out", "--rejects"])
def test_nothing_is_written_over_the_input(fenzhen: Fenzhen, tmp_path: Path, option: str) -> None:
    content = json_lines({"id": "a", "text": PASSED_ON})
    (tmp_path / "in.jsonl").write_bytes(content)
    run = fenzhen("triage", "in.jsonl", "--json", option, "./in.jsonl")
    assert run.code == 2 and "同一个文件" in run.err
    assert (tmp_path / "in.jsonl").read_bytes() == content


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_text_on_stdin_is_one_complaint_in_either_encoding(fenzhen: Fenzhen, encoding: str) -> None:
    run = fenzhen("triage", "-", "--json", stdin=f"{PASSED_ON}。\n\n还没人接电话。\n".encode(encoding))
    (row,) = run.rows
    assert "rule:bp-001" in {one["source"] for tag in row["misconduct"] for one in tag["evidence"]}


def test_a_transcript_on_stdin_is_one_complaint(fenzhen: Fenzhen) -> None:
    said = f"坐席：您好，有部门踢皮球吗\n市民：没事，我问个路\n坐席：{PASSED_ON}\n"
    (row,) = fenzhen("triage", "--json", stdin=said.encode()).rows
    assert not any(one["source"] != "model" for tag in row["misconduct"] for one in tag["evidence"])


@pytest.mark.parametrize("stdin", [b"", b" \n\t\n", b"\x89PNG\r\n\x1a\n\0\0\0", b"\xff\xfa\x81\x82" * 50])
def test_stdin_that_is_no_text_is_refused(fenzhen: Fenzhen, stdin: bytes) -> None:
    run = fenzhen("triage", "--json", stdin=stdin)
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("错误：") and "Traceback" not in run.err


def test_first_row_broken_is_still_json_lines(fenzhen: Fenzhen) -> None:
    run = fenzhen("triage", "--json", stdin=b'{"id": "a", "text": \n' + json_lines({"id": "b", "text": PASSED_ON}))
    assert (run.code, [row["id"] for row in run.rows]) == (1, ["b"])


@pytest.mark.parametrize("argument", ["没有.csv", "leads.xlsx", "data/投诉", "/nowhere/a", "my leads.csv"])
def test_a_name_of_a_file_that_is_not_there_is_no_complaint(fenzhen: Fenzhen, argument: str) -> None:
    run = fenzhen("triage", argument, "--json")
    assert run.code == 2
    assert argument in run.err and "--text" in run.err


@pytest.mark.parametrize("text", [PASSED_ON, "3/5号去办证 没人管", "见 www.gov.cn，没人管", "长" * 5000])
def test_other_strings_are_complaints(text: str) -> None:
    assert source_of(text, 1).text == text


def test_empty_text_is_refused(fenzhen: Fenzhen) -> None:
    run = fenzhen("triage", "--text", " \u200b ")
    assert run.code == 2 and "没有内容" in run.err


def test_table_when_piped_has_no_colour(fenzhen: Fenzhen) -> None:
    run = fenzhen("triage", PASSED_ON)
    assert run.code == 0
    assert "反映 推诿扯皮" in run.out and "规则 bp-001" in run.out and PASSED_ON in run.out
    assert "\x1b" not in run.out


@pytest.mark.parametrize(("moment", "shown"), [(0.0, True), (1000.0, False)])
def test_progress_on_a_terminal_after_a_moment(
    fenzhen: Fenzhen, monkeypatch: pytest.MonkeyPatch, moment: float, shown: bool
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(output, "MOMENT", moment)
    run = fenzhen("triage", "--json", stdin=json_lines(*({"text": PASSED_ON} for _ in range(3))))
    assert ("3/3" in run.err) is shown
    assert len(run.rows) == 3


def test_no_progress_where_nobody_watches(fenzhen: Fenzhen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MOMENT", 0.0)
    run = fenzhen("triage", "--json", stdin=json_lines({"text": PASSED_ON}, {"text": PASSED_ON}))
    assert run.err.strip() == "共 2 条：研判 2 条，退回 0 条"


def test_a_bundle_that_does_not_load_is_one_message(fenzhen: Fenzhen, tmp_path: Path) -> None:
    run = fenzhen("triage", PASSED_ON, "--bundle", str(tmp_path / "none"))
    assert (run.code, run.out) == (2, "")
    assert "模型包不能用" in run.err and str(tmp_path / "none") in run.err and "Traceback" not in run.err


def test_settings_that_are_wrong_are_all_named(fenzhen: Fenzhen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FENZHEN_PORT", "high")
    monkeypatch.setenv("FENZHEN_THREADS", "-1")
    run = fenzhen("triage", PASSED_ON)
    assert run.code == 2 and "FENZHEN_PORT" in run.err and "FENZHEN_THREADS" in run.err


def test_usage_errors_exit_with_2(fenzhen: Fenzhen) -> None:
    assert fenzhen("triage", "--no-such-option").code == 2
    assert fenzhen("no-such-command").code == 2
    assert fenzhen("triage", "-", "-").code == 2


def test_file_errors_have_no_traceback(fenzhen: Fenzhen) -> None:
    run = fenzhen("triage", PASSED_ON, "--out", "no/such/folder/out.jsonl")
    assert run.code == 2 and "no/such/folder/out.jsonl" in run.err and "Traceback" not in run.err


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, fenzhen: Fenzhen, tmp_path: Path) -> Path:
    """A policy folder to write into, set as the deployment's."""
    monkeypatch.setenv("FENZHEN_POLICY_DIR", str(tmp_path / "own"))
    write_rule(tmp_path / "own", "部门踢皮球")
    return tmp_path / "own"


def test_rules_test_names_file_line_rule_and_reason(fenzhen: Fenzhen, own: Path) -> None:
    sound = fenzhen("rules", "test")
    assert sound.code == 0 and "1 条规则" in sound.out and "全部相符" in sound.out
    write_rule(own, "窗口不办")
    faulty = fenzhen("rules", "test")
    assert faulty.code == 1
    assert "rules/mine.yaml:3 bp-001 [match]" in faulty.out and "窗口不办" in faulty.out and "terms" in faulty.out


def test_rules_test_measures_precision(fenzhen: Fenzhen, tmp_path: Path) -> None:
    rows = (
        {"id": "a", "text": "踢皮球", "misconduct": ["buck_passing"]},
        {"id": "b", "text": "踢皮球", "misconduct": []},
    )
    (tmp_path / "rows.jsonl").write_bytes(json_lines(*rows))
    table = fenzhen("rules", "test", "rows.jsonl")
    assert table.code == 0 and re.search(r"bp-001 .*buck_passing 推诿扯皮.* 2 .* 1 .* 50%", table.out)
    report = json.loads(fenzhen("rules", "test", "rows.jsonl", "--json").out)
    assert report["labelled"]["rules"] == [
        {
            "rule": "bp-001",
            "dimension": "misconduct",
            "label": "buck_passing",
            "hits": 2,
            "correct": 1,
            "precision": 0.5,
        }
    ]
    assert report["labelled"]["totals"][0]["precision"] == 0.5
    assert report["examples"] == {"rows": 4, "failures": []}


def test_rules_test_refuses_a_labelled_file_that_is_wrong(fenzhen: Fenzhen, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(json_lines({"id": "a", "text": "踢皮球", "misconduct": ["no_such_type"]}))
    run = fenzhen("rules", "test", "rows.jsonl")
    assert run.code == 2 and "rows.jsonl, row 1" in run.err and "no_such_type" in run.err
    missing = fenzhen("rules", "test", "nowhere.jsonl")
    assert missing.code == 2 and "nowhere.jsonl" in missing.err and "没有这个文件" in missing.err


def test_policy_check_counts_what_is_there(fenzhen: Fenzhen) -> None:
    run = fenzhen("policy", "check")
    assert run.code == 0
    assert "问题类型：25" in run.out and "责任部门：37" in run.out


def test_policy_check_lists_all_faults_with_file_and_line(fenzhen: Fenzhen, own: Path) -> None:
    broken = RULES.replace("buck_passing", "no_such_type") % "部门踢皮球"
    (own / "rules" / "mine.yaml").write_text(broken, encoding="utf-8")
    (own / "directory.yaml").write_text("units:\n  - {id: A, zh: 甲, department: tax}\n", encoding="utf-8")
    run = fenzhen("policy", "check", str(own))
    assert (run.code, run.out) == (1, "")
    assert "mine.yaml:4" in run.err and "directory.yaml:2" in run.err and "规则目录有" in run.err


def test_policy_automation_tells_what_may_go_unchecked(fenzhen: Fenzhen) -> None:
    run = fenzhen("policy", "automation")
    assert run.code == 0
    assert "须经人看的标签：" in run.out and "优亲厚友徇私" in run.out and "红牌" in run.out
    assert "现有模型保证不了" in run.out, "the tiny bundle was never measured"


def test_version_names_what_decides(fenzhen: Fenzhen, triager: Triager) -> None:
    run = fenzhen("version")
    assert run.code == 0
    assert re.match(r"fenzhen \d+\.\d+\.\d+\n", run.out)
    assert all(part in run.out for part in (triager.versions.bundle, triager.versions.taxonomy, triager.versions.rules))


@pytest.mark.parametrize("command", [(), ("triage",), ("rules", "test"), ("policy", "check"), ("serve",), ("version",)])
def test_help_is_chinese(fenzhen: Fenzhen, command: tuple[str, ...]) -> None:
    run = fenzhen(*command, "--help")
    assert run.code == 0 and "显示本帮助" in run.out


def python(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **environment},
    )


def test_help_loads_nothing_heavy_and_triage_no_torch(tiny_bundle: Path, one_rule: Path) -> None:
    heavy = ("torch", "transformers", "onnxruntime", "jieba", "fastapi", "pyarrow")
    code = f"import sys, serving.cli; print([name for name in {heavy!r} if name in sys.modules])"
    assert python("-c", code).communicate()[0].strip() == "[]"
    triage = "import sys, serving.cli\ntry: serving.cli.main(['triage', '踢皮球', '--json'])\nexcept SystemExit: pass\n"
    code = triage + "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    settings = {"FENZHEN_BUNDLE": str(tiny_bundle), "FENZHEN_POLICY_DIR": str(one_rule)}
    answer, loaded = python("-c", code, **settings).communicate()[0].splitlines()
    assert json.loads(answer)["id"] == "1"
    assert loaded == "[]"


def test_serve_greets_with_a_curl_line_that_works_and_stops_on_interrupt(
    tiny_bundle: Path, one_rule: Path, tmp_path: Path
) -> None:
    settings = {"FENZHEN_BUNDLE": str(tiny_bundle), "FENZHEN_POLICY_DIR": str(one_rule)}
    with python("-m", "serving.cli", "serve", "--port", "0", FENZHEN_DATA_DIR=str(tmp_path), **settings) as server:
        assert server.stdout is not None and server.stderr is not None
        try:
            greeting = "".join(server.stdout.readline() for _ in range(7))
            url = re.search(r"http://127\.0\.0\.1:\d+", greeting)
            assert url, greeting + server.stderr.read()
            curl = greeting[greeting.index("curl") : greeting.index("按 Ctrl+C")]
            answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, timeout=60, check=True)
            assert [one["id"] for one in json.loads(answer.stdout)["triages"]] == ["1"]
            assert f"{url[0]}/docs" in greeting
            with urllib.request.urlopen(f"{url[0]}/docs", timeout=30) as page:
                assert page.status == 200 and page.url.endswith("/login?next=/docs")
            server.send_signal(signal.SIGINT)
            out, err = server.communicate(timeout=30)
            assert server.returncode == 0
            assert {json.loads(line)["event"] for line in err.splitlines()} == {"request"}
            assert "已停止" in out
        finally:
            server.kill()  # if it has not ended


def test_serve_says_that_the_port_is_taken(fenzhen: Fenzhen) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = fenzhen("serve", "--port", str(port))
    assert run.code == 2
    assert f"端口 {port} 已被占用" in run.err and "--port" in run.err


def test_serve_says_that_the_host_is_unknown(fenzhen: Fenzhen) -> None:
    run = fenzhen("serve", "--host", "256.256.256.256", "--port", "0")
    assert run.code == 2 and "256.256.256.256" in run.err


def test_serve_lists_policy_faults(fenzhen: Fenzhen, own: Path) -> None:
    write_rule(own, "")
    run = fenzhen("serve", "--port", "0")
    assert run.code == 2 and "mine.yaml:8" in run.err and "Traceback" not in run.err
