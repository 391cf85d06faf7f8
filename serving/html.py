"""Pages as browsers get them: from this site alone, in nobody's frame, in no cache."""

import re
from base64 import b64encode
from hashlib import sha256

from starlette.responses import HTMLResponse

_POLICY = "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'"
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store"}


def page(html: str, status: int = 200) -> HTMLResponse:
    """A page that runs no script and loads nothing from elsewhere."""
    return HTMLResponse(html, status, {"Content-Security-Policy": _POLICY, **_HEADERS})


def scripted_page(html: str) -> HTMLResponse:
    """A page of a library: the scripts that stand in it run, each by its digest, and may style what they draw."""
    digests = [b64encode(sha256(script.encode()).digest()).decode() for script in _INLINE.findall(html)]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    policy = f"{_POLICY}; script-src 'self' {allowed}; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
    return HTMLResponse(html, 200, {"Content-Security-Policy": policy, **_HEADERS})
