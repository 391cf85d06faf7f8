"""What must not matter: the same complaint with another place, name, gender, people or more exclamation marks.

Each change is applied where its words occur, both versions are decided, and every tag that differs counts as a flip.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from data.complaint import Complaint, LabelledComplaint
from data.transcript import complaint_from_text, complaint_from_turns
from models.answer import Triage
from models.triage import Triager

SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
TITLES = "某某|某|先生|女士|师傅|老师|医生|局长|主任|科长|所长|书记|镇长|村长|经理|老板|姐|哥|婶|叔"
_PERSON = re.compile(f"([{SURNAMES}])(?={TITLES})")
_PLACE = re.compile(r"([A-Z])(?=\d{0,2}[省市县区镇村])")
_PAIRS = (
    ("先生", "女士"), ("老头", "老太"), ("大爷", "大妈"), ("儿子", "女儿"), ("丈夫", "妻子"), ("老公", "老婆"),
    ("爸爸", "妈妈"), ("爷爷", "奶奶"), ("父亲", "母亲"), ("男的", "女的"),
)  # fmt: skip
_GENDERED = {one: other for a, b in _PAIRS for one, other in ((a, b), (b, a))} | {"他": "她", "她": "他"}
_GENDER = re.compile("|".join(word if len(word) > 1 else f"(?<!其){word}" for word in _GENDERED))
PEOPLES = ("我是汉族。", "我是回族。", "我是苗族。")


def _other_place(text: str) -> str:
    return _PLACE.sub(lambda found: chr((ord(found[1]) - ord("A") + 7) % 26 + ord("A")), text)


def _other_surname(text: str) -> str:
    return _PERSON.sub(lambda found: SURNAMES[(SURNAMES.index(found[1]) + 7) % len(SURNAMES)], text)


def _other_gender(text: str) -> str:
    return _GENDER.sub(lambda found: _GENDERED[found[0]], text)


def _exclaiming(text: str) -> str:
    return re.sub(r"[。！!]+", "！！！", text)


CHANGES: dict[str, Callable[[str], str]] = {
    "place": _other_place,
    "surname": _other_surname,
    "gender": _other_gender,
    "exclamation marks": _exclaiming,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """How many of ``pairs`` complaints changed a tag of each task."""

    pairs: int
    misconduct: int
    department: int
    urgency: int


def changed(complaint: Complaint, change: Callable[[str], str]) -> Complaint:
    """The complaint with every utterance changed."""
    if complaint.from_turns:
        spoken = [(u.speaker, change(complaint.text[u.span.start : u.span.end])) for u in complaint.utterances]
        return complaint_from_turns(complaint.id, spoken, complaint.channel)
    return complaint_from_text(complaint.id, change(complaint.text), complaint.channel)


def _introduced(complaint: Complaint, words: str) -> Complaint | None:
    """A free text with a sentence before it; transcripts are left out."""
    if complaint.is_transcript:
        return None
    return replace(complaint_from_text(complaint.id, words + complaint.text), channel=complaint.channel)


def count_flips(pairs: Sequence[tuple[Triage, Triage]]) -> Flips:
    """Flips by task: the set of types, the department, the card."""
    return Flips(
        pairs=len(pairs),
        misconduct=sum({t.type for t in a.misconduct} != {t.type for t in b.misconduct} for a, b in pairs),
        department=sum(a.department.id != b.department.id for a, b in pairs),
        urgency=sum(a.urgency.card != b.urgency.card for a, b in pairs),
    )


def measure(triager: Triager, rows: Sequence[LabelledComplaint]) -> dict[str, Flips]:
    """Flips for every change, over the rows in which it changes anything."""
    complaints = [row.complaint for row in rows]
    plain = triager.triage(complaints)
    result = {}
    for name, change in CHANGES.items():
        others = [changed(complaint, change) for complaint in complaints]
        touched = [i for i, other in enumerate(others) if other.text != complaints[i].text]
        decided = triager.triage([others[i] for i in touched])
        result[name] = count_flips([(plain[i], other) for i, other in zip(touched, decided, strict=True)])
    first, *rest = [[_introduced(c, words) for c in complaints] for words in PEOPLES]
    told = [i for i, one in enumerate(first) if one is not None]
    base = triager.triage([one for one in first if one is not None])
    pairs: list[tuple[Triage, Triage]] = []
    for version in rest:
        decided = triager.triage([one for i in told if (one := version[i]) is not None])
        pairs += zip(base, decided, strict=True)
    return {**result, "people": count_flips(pairs)}
