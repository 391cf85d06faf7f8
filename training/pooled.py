"""Reading with poolings that do not ship: in torch, as ``models.pooling`` is the twin of the one that does.

All else is the served path: the same tokens, signals and decision.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from data.complaint import Complaint
from data.policy_schema import Policy
from models.bundle import Bundle
from models.multitask import TriageModel
from models.pooling import NEVER, Logits
from models.tokens import TokenisedComplaint
from models.triage import Reading, Triager


class TorchTriager(Triager):
    """Decides as ever, but takes the logits of ``model`` in place of the bundle's encoder."""

    def __init__(self, policy: Policy, bundle: Bundle, model: TriageModel) -> None:
        super().__init__(policy, bundle)
        self.model = model.eval()

    def read(self, complaints: Sequence[Complaint]) -> list[Reading]:
        """Run model and rules over the complaints, one at a time."""
        tokens = [self.bundle.tokenizer.tokenise(complaint) for complaint in complaints]
        return [self._reading(one, read, self._logits(read)) for one, read in zip(complaints, tokens, strict=True)]

    def _logits(self, tokens: TokenisedComplaint) -> Logits:
        batch = self.bundle.tokenizer.collate([tokens], self.bundle.windowing)
        with torch.no_grad():
            scores = self.model.token_scores(torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask))
            index = torch.from_numpy(batch.clause_index)
            clauses = self.model.clause_scores(scores, index, len(batch.clause_document))
            return document_logits(self.model, clauses, torch.from_numpy(batch.clause_alleges))


def document_logits(model: TriageModel, clauses: Tensor, alleges: Tensor) -> Logits:
    """The logits of one complaint from its clause scores (C, K) by the heads' own pooling, with their clause parts."""
    document = torch.zeros(len(clauses), dtype=torch.long)
    claims, department, urgency = model.split(clauses)
    types = model.misconduct.pool(claims, document, alleges, 1)[0]
    said = types.new_full((len(clauses), len(types)), NEVER)
    said[alleges] = model.misconduct.choices.evidence(claims[alleges])
    weighed = torch.softmax(department[:, :1], dim=0) * department[:, 1:]
    return Logits(
        misconduct=types[:-1].numpy(),
        alleged=float(types[-1]),
        department=weighed.sum(0).numpy(),
        urgency=model.urgency.pool(urgency, document, 1)[0].numpy(),
        clause_misconduct=said[:, :-1].numpy(),
        clause_department=weighed.numpy(),
        clause_urgency=model.urgency.choices.evidence(urgency).numpy(),
    )
