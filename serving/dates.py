"""Dates and moments as callers write them."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from data.errors import InputError

HERE = ZoneInfo("Asia/Shanghai")


def moment_of(words: str | None, field: str, *, end: bool = False) -> datetime | None:
    """A moment in UTC: RFC 3339 as it is; of a bare date the beginning in Beijing, or with ``end`` of the next day.

    Raises InputError naming the field.
    """
    if words is None:
        return None
    try:
        if len(words) == len("2026-01-31"):
            day = date.fromisoformat(words) + timedelta(days=1 if end else 0)
            return datetime.combine(day, time(), HERE).astimezone(UTC)
        moment = datetime.fromisoformat(words)
        if moment.tzinfo is None:
            raise ValueError
        found = moment.astimezone(UTC)
        found.timestamp()
        return found
    except (ValueError, OverflowError) as error:
        zh = "应为日期（如 2026-03-02）或带时区的时间（如 2026-03-02T08:00:00+08:00）。"
        raise InputError("moment_invalid", zh, where=f"field {field}") from error
