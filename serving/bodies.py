"""Request bodies: from bytes to complaints. A complaint that cannot be taken does not stop the others."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from data.complaint import Channel, Complaint
from data.complaint_json import LONGEST_ID, MAX_CHARACTERS, FieldError, complaint_from_json
from data.errors import InputError
from serving.problems import (
    BodyTooLarge,
    BodyUnreadable,
    ContentTypeUnsupported,
    FaultJson,
    RequestRefused,
    validation_faults,
)
from serving.wire import RejectedJson

Model = TypeVar("Model", bound=BaseModel)

LONGEST_ECHO = 200


class Strict(BaseModel):
    """A JSON object as callers send it: no unknown fields, no other types."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TurnRequest(Strict):
    """通话中的一轮发言。"""

    speaker: str = Field(description="谁在说：citizen（来电人）或 agent（坐席）；写“市民”“坐席”“A”“B”等也认")
    text: str = Field(description="这一轮的原话")


class ComplaintRequest(Strict):
    """一条投诉：text 与 turns 二选一。"""

    id: str | int | None = Field(
        default=None, max_length=LONGEST_ID, description="调用方自己的编号，同一请求内不得重复；不给则用序号（从 0 起）"
    )
    text: str | None = Field(
        default=None, max_length=MAX_CHARACTERS, description="投诉原文，或带说话人标记（坐席：/来电人：）的通话记录"
    )
    turns: list[TurnRequest] | None = Field(default=None, description="按轮次给出的通话记录")
    channel: Channel | None = Field(default=None, description="来源渠道；写“热线”“来信”等中文也认")


class Envelope(Strict):
    """A request before its complaints are judged one by one."""

    complaints: list[Any] = Field(min_length=1)


class TriageRequest(Envelope):
    """请求研判的一批投诉。"""

    complaints: list[ComplaintRequest] = Field(min_length=1, description="要研判的投诉，按原顺序回答")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a request asks for: at least one good complaint, and those that cannot be taken."""

    complaints: tuple[Complaint, ...]
    rejected: tuple[RejectedJson, ...]


async def read_body(request: Request, most: int) -> bytes:
    """The body of a JSON request; raises ContentTypeUnsupported or BodyTooLarge, the latter before reading it all."""
    _check_headers(request)
    return await read_bytes(request, most)


async def read_bytes(request: Request, most: int) -> bytes:
    """The body of any request; raises BodyTooLarge before reading more than ``most`` bytes."""
    too_large = BodyTooLarge("body_too_large", f"请求体超过 {most} 字节，请分批发送")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise too_large
    return bytes(body)


def _check_headers(request: Request) -> None:
    message = Message()
    message["content-type"] = request.headers.get("content-type", "application/octet-stream")
    kind, charset = message.get_content_type(), message.get_content_charset("utf-8")
    if kind != "application/json" or charset not in {"utf-8", "utf8"}:
        raise ContentTypeUnsupported("content_type_unsupported", "应为 Content-Type: application/json，UTF-8 编码")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ContentTypeUnsupported("content_encoding_unsupported", "不接受压缩的请求体，请去掉 Content-Encoding")


def read_batch(body: bytes, most: int) -> Batch:
    """The complaints of a body; raises RequestRefused if none is good or the request itself is wrong."""
    rows = _envelope(read_json(body)).complaints
    if len(rows) > most:
        raise RequestRefused("too_many_complaints", f"一次最多 {most} 条投诉，这里有 {len(rows)} 条，请分批发送")
    complaints: list[Complaint] = []
    rejected: list[RejectedJson] = []
    ids: list[str] = []
    for index, row in enumerate(rows):
        try:
            complaints.append(_complaint(row, index))
            ids.append(complaints[-1].id)
        except InputError as error:
            rejected.append(rejected_json(error, row, index))
            ids.append(rejected[-1]["id"])
    _check_ids(ids)
    if not complaints:
        raise RequestRefused("complaints_rejected", "没有一条投诉可以受理，原因见 errors", faults=map(_fault, rejected))
    return Batch(complaints=tuple(complaints), rejected=tuple(rejected))


def read_json(body: bytes) -> object:
    """Any JSON; raises BodyUnreadable."""
    try:
        return json.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BodyUnreadable("encoding_invalid", f"请求体不是 UTF-8 编码（第 {error.start} 字节起）") from error
    except json.JSONDecodeError as error:
        where = f"第 {error.lineno} 行第 {error.colno} 列"
        raise BodyUnreadable("json_invalid", f"请求体不是有效的 JSON：{where}附近有误") from error
    except RecursionError as error:
        raise BodyUnreadable("json_too_deep", "JSON 嵌套过深") from error
    except ValueError as error:
        raise BodyUnreadable("json_invalid", "请求体不是有效的 JSON：有过长的数字") from error


def read_model(body: bytes, kind: type[Model]) -> Model:
    """The JSON of ``body`` as an object of this kind; raises BodyUnreadable or RequestRefused naming the fields."""
    try:
        return kind.model_validate(read_json(body))
    except ValidationError as error:
        zh = "请求体不符合要求，原因见 errors"
        raise RequestRefused("request_invalid", zh, faults=validation_faults(error.errors())) from error


def documented_body(kind: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
    """The ``requestBody`` of a route that reads it with ``read_model``; the enums in it are those of its answers."""
    schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}


def _envelope(data: object) -> Envelope:
    try:
        return Envelope.model_validate(data)
    except ValidationError as error:
        zh = '应为 {"complaints": [...]}，至少一条投诉，没有其他字段'
        raise RequestRefused("request_invalid", zh, faults=validation_faults(error.errors())) from error


def _check_ids(ids: Sequence[str]) -> None:
    counts = Counter(ids)
    faults = [
        FaultJson(where=_where(index), field="id", code="id_duplicate", detail=f"同一编号出现 {counts[id]} 次")
        for index, id in enumerate(ids)
        if counts[id] > 1
    ]
    if faults:
        raise RequestRefused("id_duplicate", "同一请求中的编号不得重复（不给编号的以序号为编号）", faults=faults)


def _where(index: int) -> str:
    return f"complaints[{index}]"


def _complaint(row: object, index: int) -> Complaint:
    if not isinstance(row, dict):
        raise InputError("complaint_invalid", "每条投诉应为 JSON 对象", where=_where(index))
    return complaint_from_json(row, where=_where(index), default_id=str(index))


def rejected_json(error: InputError, row: object, index: int) -> RejectedJson:
    """What is told of row ``index`` that cannot be taken."""
    given = row.get("id") if isinstance(row, dict) else None
    id = str(given).strip()[:LONGEST_ID] if isinstance(given, str | int) else ""
    field = error.field[:LONGEST_ECHO] if isinstance(error, FieldError) else ""
    return RejectedJson(index=index, id=id or str(index), code=error.code, detail=error.zh[:LONGEST_ECHO], field=field)


def _fault(one: RejectedJson) -> FaultJson:
    return FaultJson(where=_where(one["index"]), field=one["field"], code=one["code"], detail=one["detail"])
