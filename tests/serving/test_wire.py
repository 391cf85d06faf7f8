"""The JSON of a triage: exactly the promised names, evidence that is the original's own words."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from data.complaint import Complaint, Speaker
from data.policy_files import load_policy
from data.policy_schema import Policy
from data.transcript import complaint_from_text, complaint_from_turns
from models.triage import Triager
from serving.catalogue import taxonomy_json
from serving.wire import TriageJson, triage_json

RULE = """
rules:
  - id: zz-001
    supports: {misconduct: buck_passing}
    strength: strong
    terms: [踢皮球]
    examples:
      match: [他们踢皮球, 窗口踢皮球]
      no_match: [没人, 谢谢]
"""
TEXTS = {
    "plain": "窗口说材料不齐，跑了三趟。\n最后又说不归他们管，踢皮球！",
    "full-width": "２０２４年３月，我在Ａ窗口办证，收费１００元；问了５次没人理。他们踢皮球。",
    "traditional": "縣裡的辦事窗口態度惡劣，推來推去踢皮球，拖了兩個月。",
    "emoji": "😡😡办个证跑了👨‍👩‍👧五趟！！窗口踢皮球🙃，㎡都量错了，③次",
    "breaks": "第一行\r\n第二行，踢皮球\r第三行\t没人管\u200b啊",
    "beyond the basic plane": "𠮷野家门口𡘙被占道，城管踢皮球。",
}


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Triager:
    """A triager with one rule."""
    folder = tmp_path_factory.mktemp("policy")
    (folder / "rules").mkdir()
    (folder / "rules" / "one.yaml").write_text(RULE, encoding="utf-8")
    return Triager.load(tiny_bundle, load_policy(folder), threads=1)


def answer(triager: Triager, complaint: Complaint) -> TriageJson:
    return triage_json(triager.triage([complaint])[0], triager.policy)


def spans(triage: TriageJson) -> list[dict[str, object]]:
    tags = [*triage["misconduct"], triage["department"], triage["urgency"]]
    return [dict(span) for tag in tags for span in tag["evidence"]]


def test_names_are_those_promised(ruled: Triager) -> None:
    triage = answer(ruled, complaint_from_text("a-1", TEXTS["plain"]))
    names = ["id", "misconduct", "alleged", "department", "urgency", "review", "degraded", "versions"]
    assert list(triage) == names
    buck_passing = next(tag for tag in triage["misconduct"] if tag["type"] == "buck_passing")
    assert list(buck_passing) == ["type", "zh", "family", "probability", "basis", "evidence"]
    assert (buck_passing["zh"], buck_passing["family"]) == ("推诿扯皮", "inaction")
    assert buck_passing["basis"] == list(ruled.taxonomy.misconduct_type("buck_passing").basis)
    department = triage["department"]
    assert {"id", "zh", "probability", "evidence", "unit", "assisting", "candidates"} <= set(department)
    assert [set(candidate) for candidate in department["candidates"]] == [{"id", "probability"}] * 2
    assert department["zh"] == ruled.taxonomy.department(department["id"]).zh
    assert {"card", "probability", "evidence"} <= set(triage["urgency"])
    assert set(triage["versions"]) == {"bundle", "taxonomy", "rules"}


def test_a_rule_is_named_and_its_words_are_the_evidence(ruled: Triager) -> None:
    triage = answer(ruled, complaint_from_text("a-1", TEXTS["plain"]))
    found = next(tag for tag in triage["misconduct"] if tag["type"] == "buck_passing")["evidence"]
    start = TEXTS["plain"].index("踢皮球")
    assert {"start": start, "end": start + 3, "text": "踢皮球", "source": "rule:zz-001"} in found
    assert found[0]["source"] == "model"


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_evidence_is_the_original_by_code_points(ruled: Triager, text: str) -> None:
    found = spans(answer(ruled, complaint_from_text("a", text)))
    assert "rule:zz-001" in {span["source"] for span in found}
    for span in found:
        assert set(span) == {"start", "end", "text", "source"}
        assert span["text"] == text[span["start"] : span["end"]] != ""


def test_evidence_in_turns_counts_within_its_turn(ruled: Triager) -> None:
    turns = [(Speaker.AGENT, "您好，请讲。"), *((Speaker.CITIZEN, text) for text in TEXTS.values())]
    found = spans(answer(ruled, complaint_from_turns("a", turns)))
    assert {span["turn"] for span in found if span["source"] == "rule:zz-001"} == set(range(1, len(turns)))
    for span in found:
        assert span["text"] == turns[span["turn"]][1][span["start"] : span["end"]] != ""


def test_a_transcript_given_as_text_has_no_turns(ruled: Triager) -> None:
    text = "坐席：您好，请讲。\n来电人：办证窗口踢皮球，跑了三趟。"
    found = spans(answer(ruled, complaint_from_text("a", text)))
    assert found
    assert all("turn" not in span and text[span["start"] : span["end"]] == span["text"] for span in found)


def test_probabilities_are_rounded_and_valid_json_of_the_declared_type(triager: Triager) -> None:
    adapter = TypeAdapter(TriageJson)
    for text in TEXTS.values():
        triage = answer(triager, complaint_from_text("a", text))
        assert adapter.validate_python(triage, strict=True, extra="forbid") == triage
        chances = [tag["probability"] for tag in (*triage["misconduct"], triage["department"], triage["urgency"])]
        chances += [candidate["probability"] for candidate in triage["department"]["candidates"]]
        assert all(chance == round(chance, 4) for chance in chances)


def test_a_named_unit_is_given_by_id_and_name(triager: Triager) -> None:
    unit = triager.policy.units["county_market_bureau"]
    department = answer(triager, complaint_from_text("a", f"我去{unit.aliases[0]}办证，没人理。"))["department"]
    assert (department["id"], department["unit"], department["unit_zh"]) == (unit.department, unit.id, unit.zh)
    assert f"rule:unit:{unit.id}" in {span["source"] for span in department["evidence"]}


def test_no_unit_is_null(triager: Triager) -> None:
    department = answer(triager, complaint_from_text("a", "路灯坏了"))["department"]
    assert department["unit"] is None
    assert department["unit_zh"] is None


def test_the_taxonomy_words_every_clause_a_type_rests_on(policy: Policy, triager: Triager) -> None:
    listed = taxonomy_json(policy, triager.versions)
    assert len(listed["types"]) == 25
    assert len(listed["departments"]) == len(policy.taxonomy.departments)
    assert [card["id"] for card in listed["cards"]] == ["blue", "yellow", "red"]
    clauses = {clause["id"]: clause for clause in listed["clauses"]}
    families = {family["id"] for family in listed["families"]}
    for kind in listed["types"]:
        assert kind["family"] in families
        assert kind["basis"]
        assert all(clauses[clause]["zh"] and clauses[clause]["plan_zh"] for clause in kind["basis"])
    assert listed["digests"] == {"taxonomy": policy.taxonomy.digest, "rules": policy.rules_digest}


def test_how_far_to_rely_on_it_is_said_in_ids_and_in_chinese(ruled: Triager) -> None:
    triage = answer(ruled, complaint_from_text("r", TEXTS["plain"]))
    review = triage["review"]
    assert list(review) == ["level", "level_zh", "reasons", "reasons_zh", "misconduct", "department", "urgency"]
    assert (review["level"], review["level_zh"]) == ("recommend", "仅供参考，请人工判断")
    assert "low_confidence" in review["reasons"] and len(review["reasons_zh"]) == len(review["reasons"])
    for task in (review["misconduct"], review["department"], review["urgency"]):
        assert list(task) == ["confidence", "level", "plausible"] and 0 <= task["confidence"] <= 1
    assert review["department"]["plausible"][0] == triage["department"]["id"]
    foreign = answer(ruled, complaint_from_text("f", "Buy one, get one free!"))["review"]
    assert foreign["reasons"][0] == "out_of_distribution" and "不像是投诉" in foreign["reasons_zh"][0]
