"""The tables of leads, events, access and the audit trail."""

import sqlalchemy as sa
from alembic import op

from serving.store.schema import Moment

revision = "0001"
down_revision = None

Sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LEADS = ("leads", "lead_states", "lead_types", "lead_terms", "predictions", "corrections")
EVENTS = ("events", "subscriptions", "deliveries", "idempotency")
ACCESS = ("api_keys", "accounts", "sessions")
TRAIL = ("audit", "chain_head")


def upgrade() -> None:
    _leads()
    _views()
    _judgements()
    _events()
    _access()
    _trail()


def downgrade() -> None:
    for table in reversed(LEADS + EVENTS + ACCESS + TRAIL):  # each before those it refers to
        op.drop_table(table)


def _leads() -> None:
    op.create_table(
        "leads",
        _seq(),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("external_id", sa.String(200)),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("received_at", Moment(), nullable=False),
        sa.Column("content", sa.LargeBinary()),
        sa.Column("redacted", sa.LargeBinary()),
        sa.Column("content_digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_leads"),
        sa.UniqueConstraint("id", name="uq_leads_id"),
        sa.UniqueConstraint("source", "external_id", name="uq_leads_source_external_id"),
    )
    op.create_index("ix_leads_received_at", "leads", ["received_at"])


def _views() -> None:
    op.create_table(
        "lead_states",
        _lead_seq(),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("department", sa.String(64), nullable=False),
        sa.Column("card", sa.String(16), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("alleged", sa.Boolean(), nullable=False),
        sa.Column("degraded", sa.Boolean(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("lead_seq", name="pk_lead_states"),
        _of_lead("lead_states"),
    )
    for column in ("status", "department", "card", "degraded"):
        op.create_index(f"ix_lead_states_{column}", "lead_states", [column])
    op.create_table(
        "lead_types",
        _lead_seq(),
        sa.Column("type", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("lead_seq", "type", name="pk_lead_types"),
        _of_lead("lead_types"),
    )
    op.create_index("ix_lead_types_type", "lead_types", ["type"])
    op.create_table(
        "lead_terms",
        sa.Column("term", sa.Integer(), nullable=False),
        _lead_seq(),
        sa.PrimaryKeyConstraint("term", "lead_seq", name="pk_lead_terms"),
        _of_lead("lead_terms"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_lead_terms_lead_seq", "lead_terms", ["lead_seq"])


def _judgements() -> None:
    versions = ("lead_seq", "bundle", "taxonomy", "rules", "degraded")
    op.create_table(
        "predictions",
        _seq(),
        _lead_seq(),
        sa.Column("bundle", sa.String(80), nullable=False),
        sa.Column("taxonomy", sa.String(80), nullable=False),
        sa.Column("rules", sa.String(80), nullable=False),
        sa.Column("degraded", sa.Boolean(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_predictions"),
        sa.UniqueConstraint(*versions, name="uq_predictions_lead_seq_bundle_taxonomy_rules_degraded"),
        _of_lead("predictions"),
    )
    op.create_table(
        "corrections",
        _seq(),
        _lead_seq(),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("remark", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("seq", name="pk_corrections"),
        sa.UniqueConstraint("id", name="uq_corrections_id"),
        _of_lead("corrections"),
    )
    op.create_index("ix_corrections_lead_seq", "corrections", ["lead_seq"])


def _events() -> None:
    op.create_table(
        "events",
        _seq(),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        _lead_seq(),
        sa.Column("time", Moment(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_events"),
        sa.UniqueConstraint("id", name="uq_events_id"),
        _of_lead("events"),
    )
    op.create_index("ix_events_lead_seq", "events", ["lead_seq"])
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("types", sa.JSON(), nullable=False),
        sa.Column("source", sa.String(64)),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("disabled_at", Moment()),
        sa.PrimaryKeyConstraint("id", name="pk_subscriptions"),
    )
    op.create_table(
        "deliveries",
        _seq(),
        sa.Column("event_seq", Sequence, nullable=False),
        sa.Column("subscription_id", sa.String(36), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", Moment(), nullable=False),
        sa.Column("claimed_until", Moment()),
        sa.Column("answered", sa.String(80)),
        sa.Column("delivered_at", Moment()),
        sa.PrimaryKeyConstraint("seq", name="pk_deliveries"),
        sa.UniqueConstraint("event_seq", "subscription_id", name="uq_deliveries_event_seq_subscription_id"),
        sa.ForeignKeyConstraint(["event_seq"], ["events.seq"], name="fk_deliveries_event_seq"),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name="fk_deliveries_subscription_id"),
    )
    op.create_index("ix_deliveries_status_next_at", "deliveries", ["status", "next_at"])
    op.create_table(
        "idempotency",
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("outcome", sa.JSON(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("source", "key", name="pk_idempotency"),
    )


def _access() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("source", sa.String(64)),
        sa.Column("department", sa.String(64)),
        sa.Column("per_minute", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.Column("revoked_at", Moment()),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("department", sa.String(64)),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("disabled_at", Moment()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", Moment()),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("name", name="uq_accounts_name"),
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("csrf", sa.String(64), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_sessions"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_sessions_account_id"),
    )


def _trail() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(80), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    op.create_index("ix_audit_subject", "audit", ["subject"])
    op.create_table(
        "chain_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", Sequence, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("key_check", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_chain_head"),
    )


def _seq() -> sa.Column[int]:
    return sa.Column("seq", Sequence, autoincrement=True, nullable=False)


def _lead_seq() -> sa.Column[int]:
    return sa.Column("lead_seq", Sequence, autoincrement=False, nullable=False)


def _of_lead(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["lead_seq"], ["leads.seq"], name=f"fk_{table}_lead_seq")
