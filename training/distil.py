"""Distillation: what a deeper run says of a batch teaches a shallower one, beside the labels (Hinton et al. 2015)."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 2.0


def distillation_loss(student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
    """How far the student's document logits are from the teacher's, which get no gradient; every row counts, labelled
    or not. Zero gradient where both say the same."""
    soft = {name: teacher[name].detach() / TEMPERATURE for name in ("misconduct", "department", "urgency")}
    said = {name: student[name] / TEMPERATURE for name in soft}
    losses = [
        F.binary_cross_entropy_with_logits(said[name], soft[name].sigmoid(), reduction="none").sum(1).mean()
        for name in ("misconduct", "urgency")
    ]
    department = F.kl_div(said["department"].log_softmax(1), soft["department"].softmax(1), reduction="batchmean")
    return TEMPERATURE**2 * (losses[0] + losses[1] + department)
