"""What of a complaint is stored: its words as sent, to be encrypted, from which the same complaint is made again."""

import json

from data.complaint import Channel, Complaint, Speaker
from data.transcript import complaint_from_text, complaint_from_turns
from serving.store.keyring import Keyring


def content_of(complaint: Complaint) -> bytes:
    """The text, or the turns with their speakers, as JSON."""
    if not complaint.from_turns:
        content: object = {"text": complaint.text}
    else:
        spans = [(one.speaker, one.span) for one in complaint.utterances]
        content = {"turns": [[speaker, complaint.text[span.start : span.end]] for speaker, span in spans]}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def complaint_of(id: str, content: bytes, channel: Channel) -> Complaint:
    """The complaint whose words `content_of` stored."""
    found = json.loads(content)
    if "text" in found:
        return complaint_from_text(id, found["text"], channel)
    return complaint_from_turns(id, [(Speaker(speaker), text) for speaker, text in found["turns"]], channel)


def content_digest(keyring: Keyring, complaint: Complaint) -> str:
    """Keyed digest of channel and words: the same for the same complaint sent again."""
    return keyring.digest("content", complaint.channel.encode() + b"\n" + content_of(complaint))


def content_context(id: str) -> str:
    """What the encrypted words of lead ``id`` are bound to."""
    return f"leads.content:{id}"


def redacted_context(id: str) -> str:
    """What the encrypted redacted text of lead ``id`` is bound to."""
    return f"leads.redacted:{id}"
