"""A complaint as tokens in windows: every clause seen, every owned token counted once."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from data.complaint import Complaint, Speaker
from data.text import clauses
from data.transcript import complaint_from_text, complaint_from_turns
from models.tokens import NO_CLAUSE, Batch, ComplaintTokenizer, TokenisedComplaint, Windowing

LETTERS = "窗口办事员收了我两百块钱还骂人后来一直没有给办市民坐席您好请问的事:。，!?"
PIECES = ["窗口", "办事员", "收了", "百块钱", "一直没有"]
LONG = "，".join(f"窗口办事员第{number}次收了我两百块钱" for number in range(180)) + "。后来一直没有给我办"
ODD = [
    "钱", "。。。", "，，钱，，", "😀😀，😀！😀", "ｗｉｎｄｏｗ１２３，㎡㎡㎡。窗口", "English only, no Chinese. Really!",
    "12345678901234567890", "窗口\n\n\n口窗", "收\u200b了\u200b，\u200b", "ﷺ，㍿", "窗口" * 300, "收 了 我，两 百 块 钱",
    "①②③④⑤，⑥⑦", "é́́́，ñ", "𠮷野家，𠮷",
]  # fmt: skip


def bert_tokenizer() -> Tokenizer:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(LETTERS))]
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def xlmr_tokenizer() -> Tokenizer:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *PIECES, *sorted(set(LETTERS)), "<mask>"]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(rank)) for rank, piece in enumerate(pieces)], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 0), ("</s>", 2)])
    tokenizer.enable_padding()
    tokenizer.enable_truncation(16)
    return tokenizer


@pytest.fixture(scope="module", params=["bert", "xlm-r"])
def tokenizer(request: pytest.FixtureRequest) -> ComplaintTokenizer:
    return ComplaintTokenizer(bert_tokenizer() if request.param == "bert" else xlmr_tokenizer())


def tokenised(tokenizer: ComplaintTokenizer, text: str) -> TokenisedComplaint:
    return tokenizer.tokenise(complaint_from_text("c", text))


def owned(batch: Batch) -> list[int]:
    """How many tokens each clause of the batch owns."""
    index = batch.clause_index[batch.clause_index >= 0]
    return np.bincount(index, minlength=len(batch.clause_document)).tolist()


def test_special_tokens_of_both_styles(tokenizer: ComplaintTokenizer) -> None:
    words = tokenised(tokenizer, "窗口收了钱")
    batch = tokenizer.collate([words, tokenised(tokenizer, "钱")], Windowing(length=32, overlap=8))
    first, last = batch.input_ids[0, 0], batch.input_ids[0, len(words) + 1]
    assert (batch.input_ids[:, 0] == first).all() and last in batch.input_ids[1]
    assert (batch.input_ids[batch.attention_mask == 0] == tokenizer.pad).all()
    assert len({first, last, tokenizer.pad}) == 3 and tokenizer.mask not in (first, last, tokenizer.pad)


def test_a_tokenizer_without_mask_or_padding_uses_its_last_token() -> None:
    plain = Tokenizer(models.WordPiece({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "钱": 3}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    plain.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    assert (ComplaintTokenizer(plain).pad, ComplaintTokenizer(plain).mask) == (2, 2)


def test_a_file_gives_the_same_tokens(tokenizer: ComplaintTokenizer, tmp_path: Path) -> None:
    xlmr_tokenizer().save(str(tmp_path / "tokenizer.json"))
    loaded = ComplaintTokenizer.from_file(tmp_path / "tokenizer.json")
    assert tokenised(loaded, LONG) == tokenised(ComplaintTokenizer(xlmr_tokenizer()), LONG)


@pytest.mark.parametrize("text", [*ODD, LONG])
def test_every_clause_owns_a_token(tokenizer: ComplaintTokenizer, text: str) -> None:
    found = tokenised(tokenizer, text)
    assert len(found.ids) == len(found.owner)
    assert sorted(set(found.owner) - {NO_CLAUSE}) == list(range(len(found.clauses)))
    assert [clause.span for clause in found.clauses] == clauses(found.text.text)


def test_owners_are_the_clauses_the_tokens_stand_in() -> None:
    found = tokenised(ComplaintTokenizer(bert_tokenizer()), "窗口收了钱，还骂人。")
    assert [found.text.text[c.span.start : c.span.end] for c in found.clauses] == ["窗口收了钱", "还骂人"]
    assert found.owner == (0, 0, 0, 0, 0, NO_CLAUSE, 1, 1, 1, NO_CLAUSE)


@pytest.mark.parametrize("length", [12, 32, 64, 384])
@pytest.mark.parametrize("overlap", [0, 1, 4, 7])
def test_every_owned_token_counts_once(tokenizer: ComplaintTokenizer, length: int, overlap: int) -> None:
    complaints = [tokenised(tokenizer, text) for text in [LONG, *ODD]]
    batch = tokenizer.collate(complaints, Windowing(length=length, overlap=overlap))
    expected = [c.owner.count(clause) for c in complaints for clause in range(len(c.clauses))]
    assert owned(batch) == expected and min(expected) >= 1
    assert batch.input_ids.shape == batch.attention_mask.shape == batch.clause_index.shape
    assert batch.input_ids.shape[1] <= length
    assert (batch.clause_index[batch.attention_mask == 0] == NO_CLAUSE).all()


def test_windows_together_hold_the_whole_text_in_order() -> None:
    tokenizer = ComplaintTokenizer(bert_tokenizer())
    found = tokenised(tokenizer, LONG)
    windowing = Windowing(length=64, overlap=16)
    batch = tokenizer.collate([found], windowing)
    step = windowing.body - windowing.overlap
    for row, (ids, mask) in enumerate(zip(batch.input_ids, batch.attention_mask, strict=True)):
        body = tuple(ids[1 : mask.sum() - 1])
        assert body == found.ids[row * step : row * step + len(body)]
    assert (len(batch.input_ids) - 1) * step + len(body) == len(found)


def test_a_shared_token_counts_where_it_stands_further_from_the_edge() -> None:
    tokenizer = ComplaintTokenizer(bert_tokenizer())
    batch = tokenizer.collate([tokenised(tokenizer, "窗" * 40)], Windowing(length=22, overlap=8))
    counted = (batch.clause_index[:, 1:] >= 0).astype(int).tolist()
    assert counted == [
        [1] * 16 + [0] * 4 + [0],
        [0] * 4 + [1] * 12 + [0] * 4 + [0],
        [0] * 4 + [1] * 12 + [0] * 5,
    ]


def test_a_word_longer_than_a_clause_still_has_one(tokenizer: ComplaintTokenizer) -> None:
    found = tokenised(tokenizer, "a" * 500)
    assert found.clauses and set(range(len(found.clauses))) <= set(found.owner)


def test_three_thousand_characters_keep_all_their_clauses(tokenizer: ComplaintTokenizer) -> None:
    assert len(LONG) > 2_900
    found = tokenised(tokenizer, LONG)
    assert len(found.clauses) == 181
    batch = tokenizer.collate([found], Windowing())
    assert len(batch.input_ids) > 3 and min(owned(batch)) >= 1
    assert found.clauses[-1].span.end == len(found.text.text)


def test_a_transcript_has_a_mark_before_each_utterance() -> None:
    tokenizer = ComplaintTokenizer(bert_tokenizer())
    turns = [(Speaker.AGENT, "您好"), (Speaker.CITIZEN, "窗口收了钱，骂人")]
    found = tokenizer.tokenise(complaint_from_turns("c", turns))
    marks = {name: tokenised(tokenizer, f"{name}:").ids for name in ("市民", "坐席")}
    assert found.ids[:3] == marks["坐席"] and found.ids[5:8] == marks["市民"]
    assert found.owner == (*[NO_CLAUSE] * 3, 0, 0, *[NO_CLAUSE] * 3, 1, 1, 1, 1, 1, NO_CLAUSE, 2, 2)
    assert [clause.alleges for clause in found.clauses] == [False, True, True]


def test_free_text_has_no_marks_and_alleges_throughout(tokenizer: ComplaintTokenizer) -> None:
    found = tokenised(tokenizer, "窗口收了钱，骂人")
    alone = tokenizer.tokenise(complaint_from_turns("c", [(Speaker.CITIZEN, "窗口收了钱，骂人")]))
    assert found.ids == alone.ids and all(clause.alleges for clause in found.clauses)


def test_a_batch_says_whose_clause_is_whose(tokenizer: ComplaintTokenizer) -> None:
    two = [(Speaker.AGENT, "您好"), (Speaker.CITIZEN, "收了钱")]
    complaints: list[Complaint] = [
        complaint_from_text("a", "窗口，窗口，窗口"), complaint_from_text("b", "。。"), complaint_from_turns("c", two)
    ]  # fmt: skip
    batch = tokenizer.collate([tokenizer.tokenise(c) for c in complaints], Windowing(length=32, overlap=8))
    assert batch.documents == 3
    assert batch.clause_document.tolist() == [0, 0, 0, 2, 2]
    assert batch.clause_alleges.tolist() == [True, True, True, False, True]


def test_nothing_but_invisible_characters_is_an_empty_window(tokenizer: ComplaintTokenizer) -> None:
    found = tokenised(tokenizer, "\u200b\u200b")
    assert (found.ids, found.clauses) == ((), ())
    batch = tokenizer.collate([found], Windowing())
    assert batch.attention_mask.tolist() == [[1, 1]] and len(batch.clause_document) == 0
