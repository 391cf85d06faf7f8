"""The three task heads over clause scores: pooling, loss and decoding of each in one place.

Every head is linear per token; the mean over a clause's tokens is the clause's score. So a head's document logit is a
weighted sum of clause scores and the same numbers serve as evidence. Serving computes the pooling without torch in
``models.pooling``; a test holds the two to the same result.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.pooling import NEVER


class Pooling(StrEnum):
    """How clause scores of types and cards become a document's logit; what ships is PEAK, `models.pooling`'s twin.

    PEAK weighs each clause by the softmax of its scores, MEAN all alike, ATTENTION by a learned score for each label.
    """

    PEAK = "peak"
    MEAN = "mean"
    ATTENTION = "attention"


class Loss(StrEnum):
    """What is done about rare labels: positives weigh more, nothing, or easy rows count less (Lin et al. 2017) or
    easy negatives do (Ridnik et al. 2021, without their margin)."""

    WEIGHTED = "weighted"
    PLAIN = "plain"
    FOCAL = "focal"
    ASYMMETRIC = "asymmetric"


FOCUS = {Loss.FOCAL: (2.0, 2.0), Loss.ASYMMETRIC: (0.0, 4.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadChoices:
    """How the heads of types and cards pool and learn."""

    pooling: Pooling = Pooling.PEAK
    loss: Loss = Loss.WEIGHTED

    def columns(self, labels: int) -> int:
        """How many scores a token has for ``labels`` labels: attention adds one for each."""
        return 2 * labels if self.pooling == Pooling.ATTENTION else labels

    def pool(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Padded clause scores (D, longest, columns) to document logits (D, labels); -20 without any clause."""
        if self.pooling == Pooling.ATTENTION:
            scores, attention = scores.chunk(2, dim=-1)
        else:
            attention = scores if self.pooling == Pooling.PEAK else torch.zeros_like(scores)
        logits = (_softmax_over_clauses(attention, mask) * scores).sum(1)
        return torch.where(mask.any(1, keepdim=True), logits, torch.full_like(logits, NEVER))

    def evidence(self, scores: Tensor) -> Tensor:
        """What the clauses (C, columns) of one document say for each label, (C, labels): their scores, raised where
        attention looks more than evenly and lowered where less."""
        if self.pooling != Pooling.ATTENTION:
            return scores
        scores, attention = scores.chunk(2, dim=-1)
        return scores + torch.log_softmax(attention, dim=0) + math.log(max(len(scores), 1))

    def losses(self, logits: Tensor, target: Tensor, positive_weight: Tensor) -> Tensor:
        """Binary cross-entropy of each logit, weighed by how hard the row is where the choice says so."""
        weight = positive_weight if self.loss == Loss.WEIGHTED else None
        losses = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none")
        if self.loss not in FOCUS:
            return losses
        positive, negative = FOCUS[self.loss]
        missed = torch.sigmoid(torch.where(target > 0.5, -logits, logits))
        return losses * missed ** torch.where(target > 0.5, positive, negative)


def _pad(scores: Tensor, document: Tensor, documents: int) -> tuple[Tensor, Tensor]:
    """Clause rows (C, K) to (D, longest, K), with the mask (D, longest) of real clauses."""
    counts = torch.bincount(document, minlength=documents)
    position = torch.arange(len(document), device=document.device) - (counts.cumsum(0) - counts)[document]
    longest = max(int(counts.max()), 1)
    padded = scores.new_zeros(documents, longest, scores.shape[-1])
    mask = torch.zeros(documents, longest, dtype=torch.bool, device=scores.device)
    padded[document, position] = scores
    mask[document, position] = True
    return padded, mask


def _softmax_over_clauses(scores: Tensor, mask: Tensor) -> Tensor:
    weights = torch.softmax(scores.masked_fill(~mask.unsqueeze(-1), -1e4), dim=1)
    return weights * mask.unsqueeze(-1)


class MisconductHead(nn.Module):
    """Multi-label. As it ships, a type's logit is the softmax-weighted mean of its clause scores: near the highest.

    A last column, pooled the same way, says whether anything is alleged at all: rare types lean on it.
    Clauses of the agent never count; without any clause of the citizen the logit is -20.
    """

    def __init__(self, hidden: int, types: int, choices: HeadChoices | None = None) -> None:
        super().__init__()
        self.choices = choices or HeadChoices()
        self.score = nn.Linear(hidden, self.choices.columns(types + 1))
        nn.init.constant_(self.score.bias[: types + 1], -2.0)

    def pool(self, scores: Tensor, document: Tensor, alleges: Tensor, documents: int) -> Tensor:
        """Clause scores (C, columns) to document logits (D, types + 1)."""
        padded, mask = _pad(scores, document, documents)
        said, _ = _pad(alleges.to(scores.dtype).unsqueeze(-1), document, documents)
        return self.choices.pool(padded, mask & (said.squeeze(-1) > 0))

    def loss(self, logits: Tensor, target: Tensor, positive_weight: Tensor) -> Tensor:
        """Binary cross-entropy summed over the columns. ``target`` (D, types + 1), NaN where unlabelled."""
        known = ~target.isnan()
        if not known.any():
            return logits.sum() * 0
        losses = self.choices.losses(logits, target.nan_to_num(), positive_weight)
        return (losses * known).sum() / known.any(1).sum()

    def evidence_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        """Which clause carries the tag. ``target`` (C, types + 1): 1 quoted, 0 not quoted, NaN no quote for this type.

        Quoted and unquoted clauses weigh the same, however many there are.
        """
        scores = scores[:, : target.shape[1]]
        quoted, other = target == 1, target == 0
        if not quoted.any():
            return scores.sum() * 0
        positive = F.softplus(-scores[quoted]).mean()
        negative = F.softplus(scores[other]).mean() if other.any() else scores.sum() * 0
        return positive + negative


class SingleLabelHead(nn.Module):
    """Single label, for departments and for topics. Clauses are weighed by a learned attention."""

    def __init__(self, hidden: int, classes: int) -> None:
        super().__init__()
        self.score = nn.Linear(hidden, classes + 1)

    def pool(self, scores: Tensor, document: Tensor, documents: int) -> Tensor:
        """Clause scores (C, 1 + classes), attention first, to document logits (D, classes)."""
        padded, mask = _pad(scores, document, documents)
        weights = _softmax_over_clauses(padded[..., :1], mask)
        return (weights * padded[..., 1:]).sum(1)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy; ``target`` (D,) is -100 where unlabelled."""
        if not (target >= 0).any():
            return logits.sum() * 0
        return F.cross_entropy(logits, target, ignore_index=-100, label_smoothing=0.05)


class UrgencyHead(nn.Module):
    """Ordinal by conditional steps (CORN, Shi, Cao and Raschka 2021): step k is P(rank > k | rank >= k).

    As it ships, a step takes the softmax-weighted mean of its clause scores: one clause can make a case urgent.
    """

    def __init__(self, hidden: int, cards: int, choices: HeadChoices | None = None) -> None:
        super().__init__()
        self.choices = choices or HeadChoices()
        self.score = nn.Linear(hidden, self.choices.columns(cards - 1))

    def pool(self, scores: Tensor, document: Tensor, documents: int) -> Tensor:
        """Clause scores (C, columns) to step logits (D, cards - 1); without any clause the logit is -20."""
        return self.choices.pool(*_pad(scores, document, documents))

    def loss(self, logits: Tensor, target: Tensor, step_weight: Tensor) -> Tensor:
        """Binary cross-entropy of each step over the documents that reach it; ``target`` (D,), -100 unlabelled."""
        total = logits.sum() * 0
        for step in range(logits.shape[1]):
            reached = target >= step
            if reached.any():
                above = (target[reached] > step).to(logits.dtype)
                total = total + self.choices.losses(logits[reached, step], above, step_weight[step]).mean()
        return total
