"""The form of a page, read within bounds and once for the request."""

from urllib.parse import parse_qsl

from starlette.requests import Request

from serving.bodies import read_bytes
from serving.problems import BodyUnreadable

FORM = "application/x-www-form-urlencoded"
MOST_BYTES, MOST_FIELDS = 8 * 1024, 20


async def read_form(request: Request) -> dict[str, str]:
    """The fields of an urlencoded form, of a repeated one the last; empty for any other kind of body.

    Raises BodyTooLarge over 8 KiB and BodyUnreadable for what is not UTF-8 or has too many fields.
    """
    kept: dict[str, str] | None = getattr(request.state, "form", None)
    if kept is not None:
        return kept
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return {}
    body = await read_bytes(request, MOST_BYTES)
    try:
        fields = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, encoding="utf-8", errors="strict"
        )
    except ValueError as error:
        raise BodyUnreadable("form_invalid", "表单不是 UTF-8 编码，或字段过多") from error
    request.state.form = dict(fields)
    return dict(fields)
