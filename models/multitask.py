"""One shared encoder with three heads, and a fourth for topics while training."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from models.heads import HeadChoices, MisconductHead, SingleLabelHead, UrgencyHead


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """How much each loss counts."""

    misconduct: float = 1.0
    evidence: float = 1.0
    department: float = 1.0
    urgency: float = 1.0
    topic: float = 0.5


class TriageModel(nn.Module):
    """Token scores of all heads from one pass of the encoder; see ``models.heads`` for what follows."""

    def __init__(
        self, encoder: PreTrainedModel, *, types: int, departments: int, cards: int, topics: int = 0,
        choices: HeadChoices | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        hidden = encoder.config.hidden_size
        self.encoder = encoder
        self.dropout = nn.Dropout(0.1)
        self.misconduct = MisconductHead(hidden, types, choices)
        self.department = SingleLabelHead(hidden, departments)
        self.urgency = UrgencyHead(hidden, cards, choices)
        self.topic = SingleLabelHead(hidden, topics) if topics else None
        self.weights = LossWeights()
        self.positive_weight = nn.Buffer(torch.ones(types + 1), persistent=False)
        self.step_weight = nn.Buffer(torch.ones(cards - 1), persistent=False)

    def hidden(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(W, T) ids to (W, T, H) token vectors."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        dropped: Tensor = self.dropout(states)
        return dropped

    def token_scores(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(W, T) ids to (W, T, types + 1 + 1 + departments + cards - 1) scores, more with attention; topics are not
        among them."""
        return self._scores(self.hidden(input_ids, attention_mask))

    def _scores(self, hidden: Tensor) -> Tensor:
        return torch.cat([h.score(hidden) for h in (self.misconduct, self.department, self.urgency)], dim=-1)

    def clause_scores(self, token_scores: Tensor, clause_index: Tensor, count: int) -> Tensor:
        """Mean of the token scores over the tokens that each clause owns, (C, K)."""
        owned = clause_index >= 0
        index = clause_index[owned]
        sums = token_scores.new_zeros(count, token_scores.shape[-1]).index_add_(0, index, token_scores[owned])
        return sums / torch.bincount(index, minlength=count).clamp(min=1).unsqueeze(-1)

    def split(self, scores: Tensor) -> tuple[Tensor, ...]:
        """The scores of each head, (C, columns): misconduct, department, urgency."""
        widths = [head.score.out_features for head in (self.misconduct, self.department, self.urgency)]
        return torch.split(scores, widths, dim=-1)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        clause_index: Tensor,
        clause_document: Tensor,
        clause_alleges: Tensor,
        misconduct: Tensor,
        quoted: Tensor,
        department: Tensor,
        urgency: Tensor,
        topic: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Logits of the three tasks and the weighted loss; targets of unlabelled tasks are NaN or -100."""
        documents = len(department)
        hidden = self.hidden(input_ids, attention_mask)
        scores = self.clause_scores(self._scores(hidden), clause_index, len(clause_document))
        m, d, u = self.split(scores)
        type_logits = self.misconduct.pool(m, clause_document, clause_alleges, documents)
        department_logits = self.department.pool(d, clause_document, documents)
        step_logits = self.urgency.pool(u, clause_document, documents)
        w = self.weights
        loss = (
            w.misconduct * self.misconduct.loss(type_logits, misconduct, self.positive_weight)
            + w.evidence * self.misconduct.evidence_loss(m, quoted)
            + w.department * self.department.loss(department_logits, department)
            + w.urgency * self.urgency.loss(step_logits, urgency, self.step_weight)
        )
        logits = {"misconduct": type_logits, "department": department_logits, "urgency": step_logits}
        if self.topic is not None and topic is not None:
            rows = self.clause_scores(self.topic.score(hidden), clause_index, len(clause_document))
            logits["topic"] = self.topic.pool(rows, clause_document, documents)
            loss = loss + w.topic * self.topic.loss(logits["topic"], topic)
        return {"loss": loss, **logits}
