"""The tables. What was sent and what was said about it is only ever added; the views of the present are kept apart.

Append-only (covered by the audit chain): leads, predictions, corrections, events. Rows that change: lead_states and
lead_types (what holds now, for filters), deliveries, api_keys, accounts, sessions, subscriptions, chain_head.
Text of complaints is only ever stored encrypted (`serving.store.keyring`); search runs over keyed digests of the
redacted text (`serving.store.search`).
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, which is how a moment is stored."""
    return round(moment.timestamp() * 1_000_000)


Sequence = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only an INTEGER primary key


class Moment(TypeDecorator[datetime]):
    """A point in time as microseconds since 1970 in UTC, the same on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else microseconds(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value / 1_000_000, UTC)


def _seq() -> Column[int]:
    return Column("seq", Sequence, primary_key=True, autoincrement=True)


def _lead() -> Column[int]:
    return Column("lead_seq", Sequence, ForeignKey("leads.seq"), nullable=False)


leads = Table(
    "leads",
    metadata,
    _seq(),
    Column("id", String(36), nullable=False, unique=True),
    Column("source", String(64), nullable=False),  # the source system, from the key that sent it
    Column("external_id", String(200)),
    Column("channel", String(16), nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("content", LargeBinary),  # encrypted JSON of text or turns; NULL once lawfully erased
    Column("redacted", LargeBinary),  # encrypted redacted text, character for character as long as the original
    Column("content_digest", String(64), nullable=False),  # keyed, of channel and content: is it the same complaint?
    UniqueConstraint("source", "external_id"),
    Index(None, "received_at"),
)
lead_states = Table(
    "lead_states",
    metadata,
    Column("lead_seq", Sequence, ForeignKey("leads.seq"), primary_key=True),
    Column("version", Integer, nullable=False),  # the ETag
    Column("status", String(16), nullable=False),
    Column("department", String(64), nullable=False),
    Column("card", String(16), nullable=False),
    Column("level", String(16), nullable=False),
    Column("alleged", Boolean, nullable=False),  # whether any misconduct type is tagged
    Column("degraded", Boolean, nullable=False),  # tagged by rules alone, to be tagged again
    Column("updated_at", Moment, nullable=False),
    Index(None, "status"),
    Index(None, "department"),
    Index(None, "card"),
    Index(None, "degraded"),
)
lead_types = Table(
    "lead_types",
    metadata,
    Column("lead_seq", Sequence, ForeignKey("leads.seq"), primary_key=True),
    Column("type", String(64), primary_key=True),
    Index(None, "type"),
)
lead_terms = Table(
    "lead_terms",
    metadata,
    Column("term", Integer, primary_key=True),  # keyed digest of two neighbouring characters
    Column("lead_seq", Sequence, ForeignKey("leads.seq"), primary_key=True),
    Index(None, "lead_seq"),
    sqlite_with_rowid=False,
)
predictions = Table(
    "predictions",
    metadata,
    _seq(),
    _lead(),
    Column("bundle", String(80), nullable=False),
    Column("taxonomy", String(80), nullable=False),
    Column("rules", String(80), nullable=False),
    Column("degraded", Boolean, nullable=False),
    Column("answer", JSON, nullable=False),  # TriageJson without the quoted words: they are cut from the content
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("lead_seq", "bundle", "taxonomy", "rules", "degraded"),
)
corrections = Table(
    "corrections",
    metadata,
    _seq(),
    _lead(),
    Column("id", String(36), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),  # correction, return
    Column("actor", String(80), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("tags", JSON, nullable=False),  # {"misconduct": [...], "department": ..., "urgency": ...}
    Column("reason", String(32), nullable=False),
    Column("remark", LargeBinary),  # encrypted
    Index(None, "lead_seq"),
)
events = Table(
    "events",
    metadata,
    _seq(),
    Column("id", String(36), nullable=False, unique=True),
    Column("type", String(40), nullable=False),
    Column("source", String(64), nullable=False),  # the source system whose lead it is about
    Column("lead_seq", Sequence, ForeignKey("leads.seq"), nullable=False),
    Column("time", Moment, nullable=False),
    Column("data", JSON, nullable=False),  # ids, tags and versions; never words of the complaint
    Index(None, "lead_seq"),
)
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("url", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),  # encrypted
    Column("types", JSON, nullable=False),
    Column("source", String(64)),  # NULL: of every source
    Column("created_at", Moment, nullable=False),
    Column("disabled_at", Moment),
)
deliveries = Table(
    "deliveries",
    metadata,
    _seq(),
    Column("event_seq", Sequence, ForeignKey("events.seq"), nullable=False),
    Column("subscription_id", String(36), ForeignKey("subscriptions.id"), nullable=False),
    Column("status", String(16), nullable=False),  # waiting, delivered, dead
    Column("attempts", Integer, nullable=False),
    Column("next_at", Moment, nullable=False),
    Column("claimed_until", Moment),
    Column("answered", String(80)),  # the last HTTP status or kind of failure
    Column("delivered_at", Moment),
    UniqueConstraint("event_seq", "subscription_id"),
    Index(None, "status", "next_at"),
)
idempotency = Table(
    "idempotency",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("digest", String(64), nullable=False),  # keyed, of route and body
    Column("outcome", JSON, nullable=False),  # lead ids and rejections, from which the same answer is built again
    Column("created_at", Moment, nullable=False),
)
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(80), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of 256 random bits
    Column("role", String(20), nullable=False),
    Column("source", String(64)),  # whose leads it may submit and read
    Column("department", String(64)),
    Column("per_minute", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
)
accounts = Table(
    "accounts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("password", Text, nullable=False),  # argon2id
    Column("role", String(20), nullable=False),
    Column("department", String(64)),
    Column("created_at", Moment, nullable=False),
    Column("disabled_at", Moment),
    Column("failures", Integer, nullable=False),
    Column("locked_until", Moment),
)
sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("account_id", String(36), ForeignKey("accounts.id"), nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
)
audit = Table(
    "audit",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", String(80), nullable=False),  # table and id
    Column("digest", String(64), nullable=False),  # keyed, of the row as stored (ciphertext, not text)
    Column("detail", JSON, nullable=False),  # purpose of a look-up and the like; never words of the complaint
    Column("hash", String(64), nullable=False),  # keyed, of all the above and of the previous hash
    Index(None, "subject"),
)
chain_head = Table(
    "chain_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1; locked by every writer
    Column("seq", Sequence, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("key_check", String(64), nullable=False),  # tells a wrong secret file before it does harm
)
