"""The choices of the heads: how they pool, what carries the evidence, and what rare labels weigh."""

import pytest
import torch
from torch.nn import functional as F

from models.heads import HeadChoices, Loss, MisconductHead, Pooling, UrgencyHead

TYPES = 4
DOCUMENT = torch.tensor([0, 0, 0, 2])  # document 1 has no clause
ALLEGES = torch.tensor([True, True, True, True])


def head(**choices: object) -> MisconductHead:
    torch.manual_seed(0)
    return MisconductHead(8, TYPES, HeadChoices(**choices))  # type: ignore[arg-type]


def clause_scores(columns: int = TYPES + 1) -> torch.Tensor:
    return torch.randn(4, columns, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("pooling", list(Pooling))
def test_every_pooling_gives_logits_within_the_clauses(pooling: Pooling) -> None:
    chosen = head(pooling=pooling)
    scores = clause_scores(chosen.score.out_features)
    logits = chosen.pool(scores, DOCUMENT, ALLEGES, 3)
    assert logits.shape == (3, TYPES + 1) and (logits[1] == -20).all()
    own = scores[:3, : TYPES + 1]
    assert (logits[0] <= own.max(0).values + 1e-6).all() and (logits[0] >= own.min(0).values - 1e-6).all()
    torch.testing.assert_close(logits[2], scores[3, : TYPES + 1])


def test_the_mean_weighs_all_clauses_alike_and_the_peak_the_highest_most() -> None:
    scores = clause_scores()
    mean = head(pooling=Pooling.MEAN).pool(scores, DOCUMENT, ALLEGES, 3)[0]
    peak = head(pooling=Pooling.PEAK).pool(scores, DOCUMENT, ALLEGES, 3)[0]
    torch.testing.assert_close(mean, scores[:3].mean(0))
    assert (peak > mean).all()


def test_attention_looks_at_a_clause_of_its_own_for_each_label() -> None:
    scores = clause_scores(2 * (TYPES + 1))
    scores[:, TYPES + 1 :] = 0
    chosen = head(pooling=Pooling.ATTENTION)
    even = chosen.pool(scores, DOCUMENT, ALLEGES, 3)
    torch.testing.assert_close(even[0], scores[:3, : TYPES + 1].mean(0))
    scores[1, TYPES + 1] = 30  # the first label's attention for the second clause
    found = chosen.pool(scores, DOCUMENT, ALLEGES, 3)
    torch.testing.assert_close(found[0, 0], scores[1, 0])
    torch.testing.assert_close(found[0, 1:], even[0, 1:])


def test_attention_counts_in_the_evidence() -> None:
    scores = torch.zeros(3, 2 * (TYPES + 1))
    scores[2, TYPES + 1] = 5
    choices = HeadChoices(pooling=Pooling.ATTENTION)
    found = choices.evidence(scores)
    assert found.shape == (3, TYPES + 1) and found[:, 0].argmax() == 2 and found[2, 0] > 0 > found[0, 0]
    torch.testing.assert_close(found[:, 1:], torch.zeros(3, TYPES))
    assert choices.evidence(scores[:0]).shape == (0, TYPES + 1)
    plain = clause_scores()
    assert HeadChoices(pooling=Pooling.MEAN).evidence(plain) is plain


def test_attention_is_learned_and_quotes_teach_the_scores_alone() -> None:
    chosen = head(pooling=Pooling.ATTENTION)
    scores = clause_scores(chosen.score.out_features).requires_grad_()
    chosen.pool(scores, DOCUMENT, ALLEGES, 3)[0].sum().backward()
    assert scores.grad is not None and scores.grad[:3, TYPES + 1 :].all() and not scores.grad[3].any()
    again = scores.detach().clone().requires_grad_()
    quoted = torch.full((4, TYPES + 1), torch.nan)
    quoted[:3, 0] = torch.tensor([0.0, 1.0, 0.0])
    chosen.evidence_loss(again, quoted).backward()
    assert again.grad is not None and again.grad.nonzero()[:, 1].unique().tolist() == [0]


@pytest.mark.parametrize("pooling", list(Pooling))
def test_the_agent_counts_in_no_pooling(pooling: Pooling) -> None:
    chosen = head(pooling=pooling)
    scores = clause_scores(chosen.score.out_features)
    quiet = torch.tensor([True, False, True, True])
    changed = scores.clone()
    changed[1] = 50
    before, after = (chosen.pool(s, DOCUMENT, quiet, 3) for s in (scores, changed))
    torch.testing.assert_close(before, after)


LOGITS = torch.tensor([[3.0, -3.0, 3.0, -3.0]])
TARGET = torch.tensor([[1.0, 1.0, 0.0, 0.0]])


def losses(loss: Loss, weight: float = 3.0) -> torch.Tensor:
    return HeadChoices(loss=loss).losses(LOGITS, TARGET, torch.full((4,), weight))[0]


def test_only_the_weighted_loss_weighs_positives() -> None:
    plain = F.binary_cross_entropy_with_logits(LOGITS, TARGET, reduction="none")[0]
    torch.testing.assert_close(losses(Loss.PLAIN), plain)
    torch.testing.assert_close(losses(Loss.WEIGHTED), plain * torch.tensor([3.0, 3.0, 1.0, 1.0]))
    for loss in (Loss.FOCAL, Loss.ASYMMETRIC):
        torch.testing.assert_close(losses(loss), losses(loss, weight=1.0))


def test_focal_and_asymmetric_losses_spare_the_easy() -> None:
    plain, focal, asymmetric = losses(Loss.PLAIN), losses(Loss.FOCAL), losses(Loss.ASYMMETRIC)
    share = focal / plain
    assert (share[[0, 3]] < 0.01).all() and (share[[1, 2]] > 0.85).all()
    torch.testing.assert_close(asymmetric[:2], plain[:2])
    assert asymmetric[3] < 1e-3 * plain[3] and asymmetric[2] > 0.8 * plain[2]


def test_steps_of_urgency_follow_the_choice() -> None:
    target, weight = torch.tensor([0, 1, 2]), torch.full((2,), 4.0)
    steps = torch.tensor([[2.0, 0.0], [-2.0, 1.0], [1.0, 1.0]])
    found = {
        loss: float(UrgencyHead(8, 3, HeadChoices(loss=loss)).loss(steps, target, weight))
        for loss in (Loss.WEIGHTED, Loss.PLAIN, Loss.FOCAL)
    }
    assert found[Loss.WEIGHTED] > found[Loss.PLAIN] > found[Loss.FOCAL] > 0


@pytest.mark.parametrize("loss", list(Loss))
def test_every_loss_falls_along_its_gradient(loss: Loss) -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(2)).requires_grad_()
    target = (torch.rand(6, 4, generator=torch.Generator().manual_seed(3)) < 0.4).float()
    before = HeadChoices(loss=loss).losses(logits, target, torch.ones(4)).sum()
    before.backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
    after = HeadChoices(loss=loss).losses(logits - 0.1 * logits.grad, target, torch.ones(4)).sum()
    assert after < before
