"""The value types: a complaint, who speaks in it, and a complaint with its labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from data.text import Span


class Speaker(StrEnum):
    """Who speaks. Only the citizen alleges; what the agent says is context."""

    CITIZEN = "citizen"
    AGENT = "agent"


class Channel(StrEnum):
    """How the complaint arrived."""

    HOTLINE = "hotline"
    WINDOW = "window"
    QR = "qr"
    LETTER = "letter"
    WEB = "web"
    VISIT = "visit"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What one side says in one go: a span of the complaint's text, speaker mark excluded."""

    span: Span
    speaker: Speaker


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One complaint. ``text`` is the original, untouched; ``utterances`` divide it by speaker.

    A free text is one utterance of the citizen. Given as turns, ``text`` is the turns joined by line breaks and
    ``from_turns`` is true: utterance ``i`` is then turn ``i``.
    """

    id: str
    text: str
    utterances: tuple[Utterance, ...]
    channel: Channel = Channel.OTHER
    from_turns: bool = False

    @property
    def is_transcript(self) -> bool:
        return len(self.utterances) > 1 or any(u.speaker is not Speaker.CITIZEN for u in self.utterances)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What an annotator says of a complaint; a dimension that was not labelled is None.

    ``evidence`` maps a misconduct type to the verbatim quote that carries it. ``topic`` is a label of another scheme,
    which training may use as a further task.
    """

    misconduct: frozenset[str] | None = None
    department: str | None = None
    urgency: str | None = None
    evidence: Mapping[str, str] = field(default_factory=dict)
    sure: bool = True
    topic: str | None = None

    @property
    def complete(self) -> bool:
        """Whether all three dimensions are labelled."""
        return self.misconduct is not None and self.department is not None and self.urgency is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledComplaint:
    """A complaint with its labels, the group that must stay in one split, the split, and free markers (``kind``).

    ``assisting`` is None where nobody said which other departments must act.
    """

    complaint: Complaint
    labels: Labels
    group: str
    split: str | None = None
    kind: tuple[str, ...] = ()
    assisting: tuple[str, ...] | None = None
    unit: str | None = None
