"""Pooling without torch gives what the heads give with it; neighbours and padding change nothing."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from models.multitask import TriageModel
from models.pooling import NEVER, Logits, pool
from models.tokens import NO_CLAUSE, Batch

TYPES, DEPARTMENTS, CARDS = 5, 7, 3
WIDTH = TYPES + 2 + DEPARTMENTS + CARDS - 1
PARTS = ("misconduct", "alleged", "department", "urgency")


@pytest.fixture(scope="module")
def model() -> TriageModel:
    config = BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    return TriageModel(BertModel(config), types=TYPES, departments=DEPARTMENTS, cards=CARDS).eval()


def random_batch(seed: int) -> tuple[np.ndarray, Batch]:
    """Documents of no to five clauses, some with none of the citizen, their tokens scattered over the windows."""
    random = np.random.default_rng(seed)
    counts = [0, 1, *random.integers(0, 6, size=5)]
    document = np.repeat(np.arange(len(counts)), counts)
    alleges = random.random(len(document)) < 0.6
    alleges[document == 1] = False
    index = np.full((6, 24), NO_CLAUSE)
    places = random.permutation(index.size)
    index.flat[places[: len(document)]] = np.arange(len(document))
    index.flat[places[len(document) : 70]] = random.integers(len(document), size=70 - len(document))
    scores = random.normal(0, 4, size=(*index.shape, WIDTH)).astype(np.float32)
    ones = np.ones(index.shape, np.int64)
    return scores, Batch(
        input_ids=ones, attention_mask=ones, clause_index=index, clause_document=document, clause_alleges=alleges,
        documents=len(counts),
    )  # fmt: skip


def torch_logits(model: TriageModel, scores: np.ndarray, batch: Batch) -> dict[str, np.ndarray]:
    document = torch.from_numpy(batch.clause_document)
    rows = model.clause_scores(torch.from_numpy(scores), torch.from_numpy(batch.clause_index), len(document))
    types, departments, steps = rows.split([TYPES + 1, DEPARTMENTS + 1, CARDS - 1], dim=-1)
    alleges = torch.from_numpy(batch.clause_alleges)
    claims = model.misconduct.pool(types, document, alleges, batch.documents)
    found = {
        "misconduct": claims[:, :TYPES],
        "alleged": claims[:, TYPES],
        "department": model.department.pool(departments, document, batch.documents),
        "urgency": model.urgency.pool(steps, document, batch.documents),
    }
    return {name: logits.detach().numpy() for name, logits in found.items()}


def pooled(scores: np.ndarray, batch: Batch) -> list[Logits]:
    return pool(scores, batch, types=TYPES, departments=DEPARTMENTS)


@pytest.mark.parametrize("seed", range(20))
def test_pooling_equals_the_heads(model: TriageModel, seed: int) -> None:
    scores, batch = random_batch(seed)
    expected = torch_logits(model, scores, batch)
    found = pooled(scores, batch)
    assert len(found) == batch.documents
    for name in PARTS:
        np.testing.assert_allclose(np.stack([getattr(f, name) for f in found]), expected[name], atol=1e-5, err_msg=name)


def test_a_document_without_clauses_says_nothing() -> None:
    scores, batch = random_batch(0)
    nothing = pooled(scores, batch)[0]
    assert (nothing.misconduct == NEVER).all() and (nothing.urgency == NEVER).all() and not nothing.department.any()
    assert nothing.clause_misconduct.shape == (0, TYPES) and nothing.clause_department.shape == (0, DEPARTMENTS)


def test_the_agent_never_alleges() -> None:
    scores, batch = random_batch(1)
    by_agent = pooled(scores, batch)[1]
    assert (by_agent.misconduct == NEVER).all() and (by_agent.clause_misconduct == NEVER).all()
    assert (by_agent.urgency != NEVER).all()


def test_clause_parts_make_up_the_document() -> None:
    scores, batch = random_batch(2)
    for number, found in enumerate(pooled(scores, batch)):
        clauses = int((batch.clause_document == number).sum())
        assert len(found.clause_misconduct) == len(found.clause_department) == len(found.clause_urgency) == clauses
        np.testing.assert_allclose(found.clause_department.sum(axis=0), found.department, atol=1e-5)
        if clauses:
            assert (found.urgency <= found.clause_urgency.max(axis=0) + 1e-5).all()
            assert (found.misconduct <= found.clause_misconduct.max(axis=0) + 1e-5).all()


def test_a_document_alone_is_the_document_in_its_batch() -> None:
    scores, batch = random_batch(3)
    together = pooled(scores, batch)
    for number in range(batch.documents):
        own = np.flatnonzero(batch.clause_document == number)
        ranks = {clause: rank for rank, clause in enumerate(own)}
        alone = Batch(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            clause_index=np.vectorize(lambda c, ranks=ranks: ranks.get(c, NO_CLAUSE))(batch.clause_index),
            clause_document=np.zeros(len(own), np.int64),
            clause_alleges=batch.clause_alleges[own],
            documents=1,
        )
        (found,) = pooled(scores, alone)
        for name in PARTS:
            np.testing.assert_allclose(getattr(found, name), getattr(together[number], name), atol=1e-5)


def test_scores_of_unowned_tokens_count_for_nothing() -> None:
    scores, batch = random_batch(4)
    changed = np.where((batch.clause_index >= 0)[..., None], scores, 1e6).astype(np.float32)
    for before, after in zip(pooled(scores, batch), pooled(changed, batch), strict=True):
        for name in PARTS:
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def test_extreme_scores_stay_finite(model: TriageModel) -> None:
    scores, batch = random_batch(5)
    found, expected = pooled(scores * 500, batch), torch_logits(model, scores * 500, batch)
    for name in PARTS:
        values = np.stack([getattr(f, name) for f in found])
        assert np.isfinite(values).all()
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-3, err_msg=name)
