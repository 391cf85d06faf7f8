"""The request bodies of leads as the documentation shows them; every example can be sent as it stands."""

from serving.bodies import documented_body
from serving.lead_wire import CorrectionRequest, LeadRequest, LeadsRequest, ReturnRequest, RevealRequest

_TEXT = {
    "external_id": "12345-2026-000731",
    "channel": "hotline",
    "text": "我家饭馆换证，材料交齐快两个月了。窗口让找县市监局，市监局又说归镇里管，推来推去没人接。",
}
_CALL = {
    "external_id": "call-17",
    "channel": "hotline",
    "turns": [
        {"speaker": "agent", "text": "您好，请问有什么可以帮您？"},
        {"speaker": "citizen", "text": "我们楼后面的挡土墙裂了，今早还在掉石头，下面就是幼儿园。"},
    ],
}
LEAD_BODY = documented_body(
    LeadRequest, {"text": {"summary": "一段话", "value": _TEXT}, "turns": {"summary": "热线通话", "value": _CALL}}
)
BATCH_BODY = documented_body(LeadsRequest, {"batch": {"summary": "两条", "value": {"leads": [_TEXT, _CALL]}}})
CORRECTION_BODY = documented_body(
    CorrectionRequest,
    {
        "confirmed": {"summary": "同意", "value": {"reason": "confirmed"}},
        "changed": {
            "summary": "改部门，并去掉问题标签",
            "value": {"misconduct": [], "department": "commerce", "reason": "wrong_tag", "remark": "只是咨询"},
        },
    },
)
RETURN_BODY = documented_body(
    ReturnRequest, {"not_ours": {"summary": "不归我们管", "value": {"reason": "not_ours", "remark": "属乡镇职责"}}}
)
REVEAL_BODY = documented_body(
    RevealRequest, {"call_back": {"summary": "回访", "value": {"purpose": "回访，核实联系方式"}}}
)
