"""The JSON of leads: what callers send and what they get."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from data.complaint import Channel, Complaint
from data.complaint_json import LONGEST_ID, MAX_CHARACTERS, FieldError, complaint_from_json
from data.errors import InputError
from serving.bodies import Strict, TurnRequest
from serving.roles import Role
from serving.store.corrections import CorrectionReason, ReturnReason
from serving.store.ids import new_id
from serving.store.lead_queries import Step
from serving.store.lead_rows import Lead, Status
from serving.store.leads import Outcome, Sent
from serving.wire import TriageJson, with_words

LONGEST_REMARK = 2000


class LeadRequest(Strict):
    """要保存的一条投诉：text 与 turns 二选一。"""

    external_id: str | int | None = Field(
        default=None, max_length=LONGEST_ID, description="调用方自己的编号；同一编号再次报送同样的内容不会重复保存"
    )
    text: str | None = Field(
        default=None, max_length=MAX_CHARACTERS, description="投诉原文，或带说话人标记（坐席：/来电人：）的通话记录"
    )
    turns: list[TurnRequest] | None = Field(default=None, description="按轮次给出的通话记录")
    channel: Channel | None = Field(default=None, description="来源渠道；写“热线”“来信”等中文也认")


class LeadsEnvelope(Strict):
    """A batch before its complaints are judged one by one."""

    leads: list[Any] = Field(min_length=1)


class LeadsRequest(Strict):
    """要保存的一批投诉。"""

    leads: list[LeadRequest] = Field(min_length=1, description="要保存的投诉，按原顺序回答")


class CorrectionRequest(Strict):
    """对标签的更正；不写的一项保持不变，全部不变则记为同意。"""

    misconduct: list[str] | None = Field(default=None, max_length=25, description="反映的问题，编号见 GET /v1/taxonomy")
    department: str | None = Field(default=None, max_length=64, description="责任部门的编号")
    urgency: str | None = Field(default=None, max_length=16, description="牌色：blue、yellow、red")
    reason: Annotated[CorrectionReason, Field(strict=False, description="更正的原因；同意时为 confirmed")]
    remark: str = Field(default="", max_length=LONGEST_REMARK, description="说明，加密保存")


class ReturnRequest(Strict):
    """承办部门退回一条投诉。"""

    reason: Annotated[ReturnReason, Field(strict=False, description="退回的原因")]
    remark: str = Field(default="", max_length=LONGEST_REMARK, description="说明，加密保存")


class RevealRequest(Strict):
    """查看原文。"""

    purpose: str = Field(min_length=2, max_length=200, description="用途，留在审计记录中；不要写投诉的内容")


class TagsJson(TypedDict):
    """现行的标签：研判给出的，或由人决定的。"""

    misconduct: list[str]
    department: str
    urgency: str


class LeadJson(TypedDict):
    """一条保存了的投诉。"""

    id: str
    external_id: str | None
    source: Annotated[str, Field(description="来源系统")]
    channel: str
    received_at: str
    updated_at: str
    version: Annotated[int, Field(description="每改一次加一，即 ETag")]
    status: Annotated[
        Status, Field(description="triaged 自动采用；waiting 待人看；decided 已由人决定；returned 被承办部门退回")
    ]
    degraded: Annotated[bool, Field(description="模型暂时不能用，只凭规则和用词研判，之后会重新研判")]
    tags: TagsJson
    redacted: Annotated[str, Field(description="隐去个人信息的文本，与原文等长，隐去的字写作 *；通话各轮以换行相接")]
    triage: Annotated[
        TriageJson | None, Field(description="最近一次研判，证据的文字取自 redacted；对承办部门不显示，为 null")
    ]


class ResultJson(TypedDict):
    """一批中的一条的结果。"""

    index: Annotated[int, Field(description="在请求中的序号（从 0 起）")]
    outcome: Annotated[
        Outcome,
        Field(description="created 已保存；existing 早已保存；conflict 编号同而内容不同；rejected 不能受理"),
    ]
    lead: LeadJson | None
    code: Annotated[str, Field(description="没有保存的原因，供程序判断")]
    detail: Annotated[str, Field(description="没有保存的原因，供人阅读")]
    field: Annotated[str, Field(description="有误的字段")]


class ResultsJson(TypedDict):
    """对一批投诉的回答，按原顺序。"""

    leads: list[ResultJson]


class LeadPageJson(TypedDict):
    """一页投诉，新的在前。"""

    leads: list[LeadJson]
    next: Annotated[str | None, Field(description="下一页的 cursor；没有下一页时为 null")]


class StepJson(TypedDict):
    """经过中的一步。"""

    kind: Annotated[str, Field(description="prediction 研判；correction 更正；agreement 同意；return 退回；event 消息")]
    at: str
    detail: dict[str, Any]


class HistoryJson(TypedDict):
    """一条投诉的经过，先发生的在前。"""

    id: str
    steps: list[StepJson]


class RevealJson(TypedDict):
    """投诉原文。"""

    id: str
    text: Annotated[str, Field(description="原文；通话各轮以换行相接")]


def read_lead(row: object, where: str = "") -> Sent:
    """A complaint to be stored, under a new id; raises InputError naming the field."""
    if not isinstance(row, dict):
        raise InputError("lead_invalid", "每条投诉应为 JSON 对象。", where=where)
    given = dict(row)
    if "id" in given:
        zh = "不认识的字段“id”，调用方自己的编号请写在 external_id。"
        raise FieldError("field_unknown", zh, where=where, field="id")
    external = given.pop("external_id", None)
    try:
        complaint = complaint_from_json({**given, "id": external}, where, new_id())
    except FieldError as error:
        field = "external_id" if error.field == "id" else error.field
        raise FieldError(error.code, error.zh, where=where, field=field) from error
    named = complaint.id if external is not None and str(external).strip() else None
    return Sent(external_id=named, complaint=replace(complaint, id=new_id()))


def lead_json(lead: Lead, reader: Role) -> LeadJson:
    """The JSON of a lead, in the words that ``lead.words`` has; for a department without the prediction, which tells
    what else was thought possible."""
    return LeadJson(
        id=lead.id,
        external_id=lead.external_id,
        source=lead.source,
        channel=lead.channel.value,
        received_at=_time(lead.received_at),
        updated_at=_time(lead.updated_at),
        version=lead.version,
        status=lead.status,
        degraded=bool(lead.degraded),
        tags=TagsJson(
            misconduct=list(lead.tags.misconduct), department=lead.tags.department, urgency=lead.tags.urgency
        ),
        redacted=lead.words.text,
        triage=None if reader is Role.DEPARTMENT else with_words(lead.answer, lead.words),
    )


def step_json(step: Step) -> StepJson:
    """The JSON of one step of a history."""
    return StepJson(kind=step.kind, at=_time(step.at), detail={**step.detail})


def reveal_json(id: str, complaint: Complaint) -> RevealJson:
    """The JSON of an original."""
    return RevealJson(id=id, text=complaint.text)


def result_json(
    index: int, outcome: str, lead: Lead | None = None, *, code: str = "", detail: str = "", field: str = ""
) -> ResultJson:
    """The JSON of what became of one complaint of a batch; ``code``, ``detail``, ``field`` say why it has no lead."""
    shown = lead_json(lead, Role.CASE_SYSTEM) if lead else None  # who else sends
    return ResultJson(index=index, outcome=Outcome(outcome), lead=shown, code=code, detail=detail, field=field)


def _time(moment: datetime) -> str:
    return moment.isoformat()
