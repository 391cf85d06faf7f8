"""Complaints from free text, from transcripts with speaker marks, and from turns."""

import re
from collections.abc import Iterable, Sequence

from data.complaint import Channel, Complaint, Speaker, Utterance
from data.speaker_marks import named_side
from data.speaker_turns import told_sides, turns
from data.text import NormalisedText, Span, normalise

_MARKING = re.compile(r"[:：﹕︰∶\[［【<＜〔\t\r\n]")


def complaint_from_text(id: str, text: str, channel: Channel = Channel.OTHER) -> Complaint:
    """A complaint from free text; where speaker marks divide it between an agent and a citizen, a transcript."""
    return Complaint(id=id, text=text, utterances=_utterances(text), channel=channel)


def complaint_from_turns(
    id: str, turns: Sequence[tuple[Speaker, str]], channel: Channel = Channel.HOTLINE
) -> Complaint:
    """A complaint from turns; ``text`` is their texts joined by line breaks."""
    utterances, position = [], 0
    for speaker, text in turns:
        utterances.append(Utterance(span=Span(position, position + len(text)), speaker=speaker))
        position += len(text) + 1
    text = "\n".join(text for _, text in turns)
    return Complaint(id=id, text=text, utterances=tuple(utterances), channel=channel, from_turns=True)


def speaker_of(name: str) -> Speaker:
    """The side that a speaker's name in a file stands for; whoever is not an agent is the citizen."""
    return named_side(normalise(name).text) or Speaker.CITIZEN


def speakers_of(named: Iterable[tuple[str, str]]) -> list[Speaker]:
    """The side of each turn (name, text); names that do not tell (A, speaker 1) are told apart by what is said."""
    talk = [(normalise(name).text.strip().lower(), normalise(text).text) for name, text in named]
    sides = {name: named_side(name) for name, _ in talk}
    said: dict[str, str] = {}
    for name, text in talk:
        if sides[name] is None:
            said[name] = said.get(name, "") + text
    told = told_sides(said, agent_known=Speaker.AGENT in sides.values())
    return [sides[name] or told[name] for name, _ in talk]


def _utterances(text: str) -> tuple[Utterance, ...]:
    whole = (Utterance(span=Span(0, len(text)), speaker=Speaker.CITIZEN),)
    if len(_MARKING.findall(text)) < 2:
        return whole
    normalised = normalise(text)
    spoken = ((_trimmed(normalised, turn.start, turn.end), turn.speaker) for turn in turns(normalised.text))
    found = tuple(Utterance(span=span, speaker=speaker) for span, speaker in spoken if len(span))
    return found or whole


def _trimmed(text: NormalisedText, start: int, end: int) -> Span:
    """The original's span of ``start``..``end`` of the normalised text without the blanks at its ends."""
    words = text.text[start:end]
    start += len(words) - len(words.lstrip())
    return text.original(Span(start, start + len(words.strip())))
