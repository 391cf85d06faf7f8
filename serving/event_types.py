"""What may happen to a lead and to the message that tells of it, and how it is called."""

from enum import StrEnum


class EventType(StrEnum):
    """The kind of an event, which subscribers choose from."""

    TRIAGED = "lead.triaged"
    CORRECTED = "lead.corrected"
    RETAGGED = "lead.retagged"
    RETURNED = "lead.returned"
    RED_CARD = "lead.red_card"


EVENT_ZH = {
    EventType.TRIAGED: "已研判",
    EventType.CORRECTED: "已更正",
    EventType.RETAGGED: "已重新研判",
    EventType.RETURNED: "被承办部门退回",
    EventType.RED_CARD: "红牌",
}
EVENTS_ZH = "；".join(f"{type} {zh}" for type, zh in EVENT_ZH.items())  # for those who read about it


class Failure(StrEnum):
    """Why a message got no HTTP status for an answer."""

    NOT_CONNECTED = "not_connected"
    TIMED_OUT = "timed_out"
    NO_ANSWER = "no_answer"
    NOT_SENT = "not_sent"
    DISABLED = "disabled"


FAILURE_ZH = {
    Failure.NOT_CONNECTED: "连接不上",
    Failure.TIMED_OUT: "超时",
    Failure.NO_ANSWER: "没有回答，或不是 HTTP",
    Failure.NOT_SENT: "没能发出，见服务日志",
    Failure.DISABLED: "订阅已停用",
}
FAILURES_ZH = "；".join(f"{failure} {zh}" for failure, zh in FAILURE_ZH.items())
