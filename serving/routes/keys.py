"""Keys over HTTP, for administrators: make one, list all, revoke one."""

from datetime import timedelta
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from serving.access import Principal, Role, require
from serving.bodies import Strict, documented_body, read_body, read_model
from serving.problems import documented
from serving.runtime import runtime_of
from serving.store.keys import LIFETIME, LONGEST_LIFETIME, MOST_PER_MINUTE, PER_MINUTE, ApiKey, KeyOrder, KeyStatus
from serving.wire import Json

MOST_BYTES = 8 * 1024
EXAMPLES = {
    "case_system": {
        "summary": "业务系统：报送并查看本系统的投诉",
        "value": {"name": "县热线平台", "role": "case-system", "source": "hotline", "per_minute": 600},
    },
    "monitor": {
        "summary": "运行监控",
        "value": {"name": "prometheus", "role": "monitor", "expires_in_days": 90},
    },
}


class KeyRequest(Strict):
    """要发放的密钥。"""

    name: str = Field(max_length=80, description="给谁用，便于日后辨认")
    role: Annotated[Role, Field(strict=False, description="角色")]
    source: str | None = Field(default=None, max_length=64, description="来源系统；只有 case-system 要填")
    department: str | None = Field(default=None, max_length=64, description="部门编号；只有 department 要填")
    per_minute: int = Field(default=PER_MINUTE, ge=1, le=MOST_PER_MINUTE, description="任一分钟内最多几次请求")
    expires_in_days: int = Field(default=LIFETIME.days, ge=1, le=LONGEST_LIFETIME.days, description="几天后失效")


class KeyJson(TypedDict):
    """一个密钥，不含密钥本身。"""

    id: str
    name: str
    role: Role
    source: str | None
    department: str | None
    per_minute: int
    status: Annotated[KeyStatus, Field(description="active 有效；expired 已过期；revoked 已吊销")]
    created_at: str
    expires_at: str
    revoked_at: str | None


class NewKeyJson(KeyJson):
    """新发放的密钥。"""

    secret: Annotated[str, Field(description="密钥本身，只在此时给出一次；用法：Authorization: Bearer <secret>")]


class KeysJson(TypedDict):
    """所有密钥，新的在前。"""

    keys: list[KeyJson]


Admin = Annotated[Principal, Depends(require(Role.ADMIN))]
router = APIRouter(tags=["keys"])


@router.post(
    "/v1/keys",
    operation_id="createKey",
    summary="发放一个密钥",
    status_code=201,
    response_model=NewKeyJson,
    responses=documented(400, 401, 403, 413, 415, 422, 429, 503),
    openapi_extra={"requestBody": documented_body(KeyRequest, EXAMPLES)},
)
async def create_key(request: Request, who: Admin) -> Response:
    """密钥本身只在回答中出现这一次，服务只存它的摘要。"""
    keys = runtime_of(request).access.keys
    wanted = read_model(await read_body(request, MOST_BYTES), KeyRequest)
    order = KeyOrder(
        name=wanted.name,
        role=wanted.role,
        source=wanted.source,
        department=wanted.department,
        per_minute=wanted.per_minute,
        lifetime=timedelta(days=wanted.expires_in_days),
    )
    made = await run_sync(keys.create, who.actor, order)
    answer = NewKeyJson(**_key_json(made.key, keys.status(made.key)), secret=made.secret)
    return Json(answer, 201, {"Cache-Control": "no-store"})


@router.get(
    "/v1/keys",
    operation_id="listKeys",
    summary="所有密钥",
    response_model=KeysJson,
    responses=documented(401, 403, 429, 503),
)
async def list_keys(request: Request, who: Admin) -> Response:
    """发放过的所有密钥，包括已过期和已吊销的。"""
    keys = runtime_of(request).access.keys
    return Json(KeysJson(keys=[_key_json(key, keys.status(key)) for key in await run_sync(keys.list)]))


@router.delete(
    "/v1/keys/{id}",
    operation_id="revokeKey",
    summary="吊销一个密钥",
    status_code=204,
    response_class=Response,
    responses=documented(401, 403, 404, 429, 503),
)
async def revoke_key(
    request: Request, id: Annotated[str, Path(description="密钥的编号，见 GET /v1/keys")], who: Admin
) -> Response:
    """密钥最迟几秒后在各处失效；再次吊销没有别的效果。"""
    await run_sync(runtime_of(request).access.keys.revoke, who.actor, id)
    return Response(status_code=204)


def _key_json(key: ApiKey, status: KeyStatus) -> KeyJson:
    return KeyJson(
        id=key.id,
        name=key.name,
        role=key.role,
        source=key.source,
        department=key.department,
        per_minute=key.per_minute,
        status=status,
        created_at=key.created_at.isoformat(),
        expires_at=key.expires_at.isoformat(),
        revoked_at=key.revoked_at.isoformat() if key.revoked_at else None,
    )
