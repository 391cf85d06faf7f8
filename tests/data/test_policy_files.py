"""The shipped policy, a deployment's own files, and every fault with its file and line."""

import re
from pathlib import Path

import pytest

from data.errors import PolicyError
from data.policy_files import load_policy, load_taxonomy
from data.policy_reader import SHIPPED
from data.policy_schema import Policy

TYPES = """
buck_passing refusal_to_act unreachable_hotline repeat_trips policy_not_implemented regulatory_neglect
arbitrary_enforcement obstruction designated_intermediary soliciting_benefits illegal_charges bid_rigging_meddling
favouritism embezzlement retaliation undue_delay utility_delay settlement_delay broken_promise arrears
unexecuted_judgment rude_attitude slack_discipline formalism incompetence
"""
DEPARTMENTS = """
discipline_inspection party_government_office development_reform commerce industry_it finance audit tax
market_regulation financial_services government_services data_bureau public_resource_trading housing_construction
urban_management natural_resources water_resources transport ecology_environment emergency_management utilities
human_resources civil_affairs medical_security health education culture_tourism agriculture veterans public_security
courts procuratorate justice_administration letters_calls industrial_park township other
"""
SMALL = {
    "taxonomy.yaml": """\
version: 3
misconduct:
  families:
    inaction: {zh: 不作为}
  types:
    buck_passing: {family: inaction, zh: 推诿, basis: [P1], is: 推给别人}
    slow: {family: inaction, zh: 拖延, basis: [P1, P2], is: 慢}
departments:
  tax: {zh: 税务局, aliases: [办税厅]}
  other: {zh: 其他}
urgency:
  red: {zh: 红, rank: 2, is: 急}
  blue: {zh: 蓝, rank: 0, is: 缓}
  yellow: {zh: 黄, rank: 1, is: 中}
""",
    "clauses.yaml": """\
plans:
  P: {zh: 方案}
clauses:
  - {id: P1, plan: P, heading: 一, zh: 甲, units: [tax]}
  - {id: P2, plan: P, heading: 二, zh: 乙}
""",
    "directory.yaml": """\
units:
  - {id: city, zh: 市局, department: tax}
  - {id: county, zh: 县局, department: tax, aliases: [县税务], superior: city}
""",
    "deadlines.yaml": """\
cards:
  red: {respond_hours: 2}
  yellow: {respond_hours: 24}
  blue: {respond_working_days: 5}
""",
    "rules/one.yaml": """\
rules:
  - id: bp-001
    supports: {misconduct: buck_passing}
    strength: strong
    terms: [踢皮球]
    examples: {match: [甲踢皮球, 乙踢皮球], no_match: [甲, 乙]}
guards:
  - {id: neg, kind: negation, cues: [没有], where: before, reach: clause}
""",
}
BROKEN = {
    "taxonomy.yaml": """\
version: 3
misconduct:
  families:
    inaction: {zh: 不作为}
  types:
    buck_passing: {family: inaction, zh: 推诿, basis: [P1], is: 推给别人}
    slow:
      family: sloth  # FAULT 大类“sloth”
      zh: 拖延
      basis: [P1, P9]  # FAULT 条款“P9”
      is: 慢
departments:
  tax: {zh: 税务局}
  other: {zh: 其他}
urgency:  # FAULT rank 应为 0、1、2
  blue: {zh: 蓝, rank: 0, is: 缓}
  yellow: {zh: 黄, rank: 1, is: 中}
  red: {zh: 红, rank: 3, is: 急}
""",
    "clauses.yaml": """\
plans:
  P: {zh: 方案}
clauses:
  - {id: P1, plan: P, heading: 一, zh: 甲, units: [tax, police]}  # FAULT 责任部门“police”
  - id: P1  # FAULT 条款“P1”重复出现
    plan: Q  # FAULT 方案“Q”
    heading: 二
    zh: 乙
""",
    "directory.yaml": """\
units:
  - id: city
    zh: 市局
    department: customs  # FAULT 责任部门“customs”
    superior: county  # FAULT 单位“city”成了自己的上级
  - id: county
    zh: 县局
    department: tax
    superior: city  # FAULT 单位“county”成了自己的上级
  - id: town
    zh: 镇所
    department: tax
    aliases: [县局]  # FAULT 名称或别名“县局”重复出现
    superior: moon  # FAULT 上级单位“moon”
  - id: town  # FAULT 单位“town”重复出现
    zh: 乡所
    department: tax
  - id: hall
    zh: 大厅
    department: tax
    superior: hall  # FAULT 单位“hall”成了自己的上级
""",
    "deadlines.yaml": """\
cards:
  red:  # FAULT respond_hours 与 respond_working_days
    respond_hours: 2
    respond_working_days: 1
  blue:  # FAULT respond_hours 与 respond_working_days
    note: 无
  green:  # FAULT 牌“green”
    respond_hours: 1
""",
    "automation.yaml": """\
misconduct: {risk: 0.05, never_auto: [no_such_type]}  # FAULT 问题类型“no_such_type”不存在
department: {risk: 0.05}
urgency: {risk: 0.05, never_auto: [purple]}  # FAULT 牌“purple”不存在
""",
    "rules/a_not_yaml.yaml": """\
rules:
  - id: aa-001
    terms: [甲
    strength: strong  # FAULT 不是有效的 YAML
""",
    "rules/b_wrong_fields.yaml": """\
rules:
  - id: bb-001
    supports: {misconduct: slow}
    strength: mighty  # FAULT rules.0.strength
    terms: []  # FAULT rules.0.terms
    colour: red  # FAULT rules.0.colour
    examples:
      match: [甲]  # FAULT rules.0.examples.match
      no_match: [甲, 乙]
  - id: much too long  # FAULT rules.1.id
    supports: {urgency: blue}  # FAULT rules.1.supports.urgency
    strength: weak
    terms: [甲, ""]  # FAULT rules.1.terms.1
    examples: {match: [甲, 乙], no_match: [甲, 乙]}
  - id: bb-002  # FAULT rules.2.strength
    supports: {misconduct: slow}
    terms: [甲]
    examples: {match: [甲, 乙], no_match: [甲, 乙]}
guards:
  - {id: g, kind: rumour, cues: [听说], where: before, reach: clause}  # FAULT guards.0.kind
""",
    "rules/c_wrong_labels.yaml": """\
rules:
  - id: cc-001
    supports: {misconduct: arson}  # FAULT 问题类型“arson”
    strength: strong
    terms: [甲]
    examples: {match: [甲, 乙], no_match: [甲, 乙]}
  - id: cc-001  # FAULT 规则“cc-001”重复出现
    supports: {department: customs}  # FAULT 责任部门“customs”
    strength: strong
    terms: [甲]
    examples: {match: [甲, 乙], no_match: [甲, 乙]}
  - id: cc-002
    supports: {misconduct: slow, department: tax}  # FAULT supports 应恰好写一个标签
    strength: strong
    terms: [甲]
    examples: {match: [甲, 乙], no_match: [甲, 乙]}
  - id: cc-003
    supports: {}  # FAULT supports 应恰好写一个标签
    strength: strong
    terms: [甲]
    examples: {match: [甲, 乙], no_match: [甲, 乙]}
guards:
  - {id: neg, kind: negation, cues: [没有], where: before, reach: clause}
""",
    "rules/d_later_file.yaml": """\
rules:
  - id: cc-002  # FAULT 规则“cc-002”重复出现
    supports: {misconduct: slow}
    strength: strong
    terms: [甲]
    examples: {match: [甲, 乙], no_match: [甲, 乙]}
guards:
  - {id: neg, kind: negation, cues: [没有], where: before, reach: clause}  # FAULT 防线“neg”重复出现
""",
}
MISSING_CARD = ("deadlines.yaml", 1, "缺少“yellow”牌的时限")


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def announced(files: dict[str, str]) -> set[tuple[str, int, str]]:
    """The faults that the comments in the files announce: file, line, words of the message."""
    return {
        (name, number, found[1])
        for name, text in files.items()
        for number, line in enumerate(text.splitlines(), 1)
        if (found := re.search(r"# FAULT (.+)", line))
    }


def faults_of(folder: Path) -> list[tuple[str, int | None, str]]:
    with pytest.raises(PolicyError) as caught:
        load_policy(folder)
    return [(fault.file, fault.line, fault.what) for fault in caught.value.faults]


def test_the_shipped_labels_are_the_normative_ones_in_order(policy: Policy) -> None:
    assert policy.taxonomy.misconduct_ids == tuple(TYPES.split())
    assert policy.taxonomy.department_ids == tuple(DEPARTMENTS.split())
    assert policy.taxonomy.card_ids == ("blue", "yellow", "red")
    assert (len(TYPES.split()), len(DEPARTMENTS.split())) == (25, 37)


def test_the_shipped_policy_is_whole(policy: Policy) -> None:
    assert len(policy.rules) >= 50 and len(policy.guards) >= 6 and policy.dictionary
    supported = {rule.supports.label[1] for rule in policy.rules if rule.supports.label[0] == "misconduct"}
    assert supported >= set(policy.taxonomy.misconduct_ids[:15])
    assert set(policy.card_deadlines) == set(policy.taxonomy.card_ids)
    assert set(policy.plans) == {"S0", "S1", "S2", "S3", "S4"}
    assert {unit.department for unit in policy.units.values()} >= {"township", "tax", "courts", "public_security"}


def test_a_whole_folder_of_its_own(tmp_path: Path) -> None:
    policy = load_policy(write(tmp_path, SMALL))
    assert policy.taxonomy.misconduct_ids == ("buck_passing", "slow")
    assert policy.taxonomy.card_ids == ("blue", "yellow", "red")
    assert [rule.id for rule in policy.rules] == ["bp-001"] and [guard.id for guard in policy.guards] == ["neg"]
    assert policy.units["county"].superior == "city" and policy.clauses["P1"].units == ("tax",)
    assert policy.card_deadlines["blue"].respond_working_days == 5
    assert policy.automation == load_policy(SHIPPED).automation and policy.automation.urgency.never_auto == ("red",)
    assert policy.dictionary == load_policy(SHIPPED).dictionary


def test_every_fault_of_every_file_is_listed_at_once_with_its_line(tmp_path: Path) -> None:
    found = faults_of(write(tmp_path, BROKEN))
    expected = announced(BROKEN) | {MISSING_CARD}
    left = [fault for fault in found if not any(fault[:2] == at[:2] and at[2] in fault[2] for at in expected)]
    missed = [at for at in expected if not any(fault[:2] == at[:2] and at[2] in fault[2] for fault in found)]
    assert (left, missed) == ([], [])
    assert len(found) == len(expected) >= 30


def test_the_message_has_one_line_for_each_fault(tmp_path: Path) -> None:
    write(tmp_path, SMALL | {"deadlines.yaml": "cards: {}\n"})
    with pytest.raises(PolicyError) as caught:
        load_policy(tmp_path)
    head, *lines = str(caught.value).splitlines()
    assert head == "规则目录有 3 处错误："
    assert lines == [f"deadlines.yaml:1: 缺少“{card}”牌的时限" for card in ("blue", "yellow", "red")]
    assert caught.value.code == "policy_invalid"


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("taxonomy.yaml", "version: 1\n", 1),
        ("clauses.yaml", "", 1),
        ("directory.yaml", "units:\n  - {id: a, zh: 甲, department: tax}\n  - just words\n", 3),
        ("deadlines.yaml", "cards:\n  red: soon\n", 2),
        ("automation.yaml", "misconduct: {risk: 0.05}\ndepartment: {risk: 5}\nurgency: {risk: 0.05}\n", 2),
        ("automation.yaml", "misconduct: {risk: 0.05}\n", 1),
    ],
)
def test_a_file_of_another_shape(tmp_path: Path, name: str, text: str, line: int) -> None:
    (fault, *_) = faults_of(write(tmp_path, SMALL | {name: text}))
    assert fault[:2] == (name, line)


@pytest.mark.parametrize("name", ["taxonomy.yaml", "directory.yaml", "rules/one.yaml", "dictionary.txt"])
def test_a_file_in_another_encoding_is_a_fault(tmp_path: Path, name: str) -> None:
    (write(tmp_path, SMALL) / name).write_bytes("窗口：推诿扯皮\n".encode("gb18030"))
    (fault, *_) = faults_of(tmp_path)
    assert fault[0] == name and "读不了" in fault[2]


def test_a_file_with_control_characters_is_a_fault(tmp_path: Path) -> None:
    (fault,) = faults_of(write(tmp_path, SMALL | {"deadlines.yaml": "cards:\n  red: \x07\n"}))
    assert fault[0] == "deadlines.yaml" and "不是有效的 YAML" in fault[2]


def test_a_term_of_nothing_but_the_gap_mark_is_a_fault(tmp_path: Path) -> None:
    text = SMALL["rules/one.yaml"].replace("terms: [踢皮球]", "terms: [踢皮球, …]")
    (fault,) = faults_of(write(tmp_path, SMALL | {"rules/one.yaml": text}))
    assert fault[:2] == ("rules/one.yaml", 5) and "…" in fault[2]


def test_a_single_file_of_the_named_folder_replaces_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Policy
) -> None:
    write(tmp_path, {"directory.yaml": "units:\n  - {id: mine, zh: 某县税务局, department: tax}\n"})
    monkeypatch.setenv("FENZHEN_POLICY_DIR", str(tmp_path))
    own = load_policy()
    assert list(own.units) == ["mine"]
    assert (own.taxonomy.digest, own.rules_digest) == (policy.taxonomy.digest, policy.rules_digest)
    assert own.clauses == policy.clauses and own.card_deadlines == policy.card_deadlines


def test_rules_are_replaced_as_a_folder(tmp_path: Path, policy: Policy) -> None:
    own = load_policy(write(tmp_path, {"rules/one.yaml": SMALL["rules/one.yaml"]}))
    assert [rule.id for rule in own.rules] == ["bp-001"]
    assert own.rules_digest != policy.rules_digest and own.taxonomy == policy.taxonomy


def test_a_fault_of_the_own_file_against_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"directory.yaml": "units:\n  - {id: mine, zh: 甲, department: customs}\n"})
    monkeypatch.setenv("FENZHEN_POLICY_DIR", str(tmp_path))
    with pytest.raises(PolicyError, match=r"directory\.yaml:2: 责任部门“customs”不存在"):
        load_policy()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    ((file, line, what),) = faults_of(tmp_path / "nowhere")
    assert (file, line) == (str(tmp_path / "nowhere"), None) and "不是文件夹" in what


def test_the_taxonomy_alone_is_that_of_the_policy(tmp_path: Path, policy: Policy) -> None:
    assert load_taxonomy() == policy.taxonomy
    folder = write(tmp_path, SMALL)
    assert load_taxonomy(folder) == load_policy(folder).taxonomy
    (folder / "taxonomy.yaml").write_text("version: one\n", encoding="utf-8")
    with pytest.raises(PolicyError, match=r"taxonomy\.yaml"):
        load_taxonomy(folder)


def test_the_digest_of_the_rules_leaves_examples_out(tmp_path: Path) -> None:
    first = load_policy(write(tmp_path / "a", SMALL)).rules_digest
    text = SMALL["rules/one.yaml"]
    reworded = text.replace("甲踢皮球, 乙踢皮球", "丙踢皮球, 丁踢皮球")
    assert load_policy(write(tmp_path / "b", SMALL | {"rules/one.yaml": reworded})).rules_digest == first
    for name, changed in (
        ("rules/one.yaml", text.replace("terms: [踢皮球]", "terms: [踢皮球, 推来推去]")),
        ("rules/one.yaml", text.replace("cues: [没有]", "cues: [并未]")),
        ("dictionary.txt", "踢皮球\n"),
    ):
        assert load_policy(write(tmp_path / "c", SMALL | {name: changed})).rules_digest != first
