"""Levels and reasons in the words that a person reads."""

from models.assurance import Level, Reason

LEVEL_ZH = {
    Level.AUTO: "可自动采用",
    Level.PRESELECTED: "已预选，请确认",
    Level.RECOMMEND: "仅供参考，请人工判断",
}
REASON_ZH = {
    Reason.DEGRADED: "模型暂时不能用，只凭规则和用词",
    Reason.LOW_CONFIDENCE: "把握不足",
    Reason.NEVER_AUTO: "按规定须经人看",
    Reason.RULE_MODEL_DISAGREE: "规则与模型意见不一",
    Reason.OUT_OF_DISTRIBUTION: "不像是投诉，或不是常见的诉求",
    Reason.MIXED_COMPLAINT: "涉及不止一个部门",
    Reason.LONG_TEXT: "文本较长",
}
