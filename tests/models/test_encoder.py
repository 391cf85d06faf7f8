"""Encoders of BERT and XLM-R style, from folders as model hubs have them, in the same place as the base encoder."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

from data.complaint import Complaint, Speaker, Utterance
from data.errors import BundleError
from data.text import Span, normalise
from models.encoder import load_encoder, load_tokenizer
from models.tokens import ComplaintTokenizer, TokenisedComplaint, Windowing

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
TEXT = "窗口办事员收了我两百块钱，还骂人。后来一直没有给我办"
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 80,
}  # fmt: skip


def bert_folder(folder: Path, *, vocabulary_only: bool = False) -> Path:
    """A tiny encoder as hfl/chinese-macbert-base and BAAI/bge-small-zh-v1.5 lie in a folder, weights at random."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(normalise(TEXT).text + "市民坐席:"))]
    torch.manual_seed(5)
    BertModel(BertConfig(vocab_size=len(tokens), **SIZES)).save_pretrained(folder)
    if vocabulary_only:
        (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
        return folder
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(tokens[:5])
    tokenizer.enable_truncation(8)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def xlmr_folder(folder: Path) -> Path:
    """A tiny encoder of XLM-R style: SentencePiece pieces, positions counted from the padding id."""
    pieces = [*SPECIAL, "▁", "窗口", "办事员", *sorted(set(normalise(TEXT).text + "市民坐席:")), "<mask>"]
    config = XLMRobertaConfig(vocab_size=len(pieces), pad_token_id=1, bos_token_id=0, eos_token_id=2, **SIZES)
    torch.manual_seed(5)
    XLMRobertaModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.Unigram([(piece, -float(rank)) for rank, piece in enumerate(pieces)], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 0), ("</s>", 2)])
    tokenizer.add_special_tokens([*SPECIAL, "<mask>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(params=["bert", "bert with vocab.txt only", "xlm-r"])
def encoder_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "xlm-r":
        return xlmr_folder(tmp_path / "encoder")
    return bert_folder(tmp_path / "encoder", vocabulary_only=request.param != "bert")


def complaint(text: str, *cuts: int) -> Complaint:
    """A free text, or a transcript cut at these places, citizen first and speakers in turn."""
    edges = [0, *cuts, len(text)]
    speakers = [Speaker.CITIZEN, Speaker.AGENT] * len(edges)
    spans = [Span(start, end) for start, end in pairwise(edges)]
    utterances = tuple(Utterance(span=span, speaker=speakers[i]) for i, span in enumerate(spans))
    return Complaint(id="1", text=text, utterances=utterances)


def test_any_encoder_tokenises_a_complaint_into_owned_clauses(encoder_folder: Path) -> None:
    tokenizer = ComplaintTokenizer(load_tokenizer(encoder_folder))
    found = tokenizer.tokenise(complaint(TEXT))
    words = [TEXT[clause.span.start : clause.span.end] for clause in found.clauses]
    assert words == ["窗口办事员收了我两百块钱", "还骂人", "后来一直没有给我办"]
    assert len(found.ids) == len(found.owner) > 20
    backend = load_tokenizer(encoder_folder)
    for number, text in enumerate(words):
        owned = [backend.id_to_token(i) for i, owner in zip(found.ids, found.owner, strict=True) if owner == number]
        assert "".join(owned).replace("▁", "") == text


def test_any_encoder_marks_the_speakers_of_a_transcript(encoder_folder: Path) -> None:
    tokenizer = ComplaintTokenizer(load_tokenizer(encoder_folder))
    found = tokenizer.tokenise(complaint(TEXT, 17))
    backend = load_tokenizer(encoder_folder)
    text = "".join(str(backend.id_to_token(i)) for i in found.ids).replace("▁", "")
    words = normalise(TEXT).text
    assert text == f"市民:{words[:17]}坐席:{words[17:]}"
    assert [clause.alleges for clause in found.clauses] == [True, True, False]


def test_any_encoder_reads_the_batch_and_padding_changes_nothing(encoder_folder: Path) -> None:
    tokenizer, encoder = ComplaintTokenizer(load_tokenizer(encoder_folder)), load_encoder(encoder_folder, layers=2)
    encoder.eval()
    long, short = tokenizer.tokenise(complaint(TEXT)), tokenizer.tokenise(complaint(TEXT[:6]))
    assert encoder.config.num_hidden_layers == 2 and encoder.dtype == torch.float32

    def hidden(*texts: TokenisedComplaint) -> torch.Tensor:
        batch = tokenizer.collate(texts, Windowing(length=64, overlap=16))
        ids, mask = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)
        with torch.no_grad():
            return encoder(input_ids=ids, attention_mask=mask).last_hidden_state

    alone, together = hidden(short), hidden(long, short)
    assert together.shape == (2, len(long) + 2, 32)
    torch.testing.assert_close(together[1, : len(short) + 2], alone[0], rtol=1e-4, atol=1e-5)


def test_a_tokenizer_json_and_the_vocabulary_it_was_made_from_give_equal_ids(tmp_path: Path) -> None:
    described = load_tokenizer(bert_folder(tmp_path / "a"))
    described.no_truncation()
    assert (
        load_tokenizer(bert_folder(tmp_path / "b", vocabulary_only=True)).encode(TEXT).ids == described.encode(TEXT).ids
    )


def test_the_first_layers_are_those_of_the_whole_encoder(encoder_folder: Path) -> None:
    whole, cut = load_encoder(encoder_folder).state_dict(), load_encoder(encoder_folder, layers=1).state_dict()
    assert set(cut) == {name for name in whole if not name.startswith(("encoder.layer.1.", "encoder.layer.2."))}
    assert all(torch.equal(values, whole[name]) for name, values in cut.items())
    assert not any("pooler" in name for name in whole)


@pytest.mark.parametrize("layers", [0, 4])
def test_a_number_of_layers_that_the_encoder_does_not_have_is_refused(tmp_path: Path, layers: int) -> None:
    with pytest.raises(BundleError, match=f"has 3 layers, {layers} were asked for"):
        load_encoder(xlmr_folder(tmp_path / "encoder"), layers)


def test_a_folder_without_encoder_or_tokenizer_is_refused(tmp_path: Path) -> None:
    for load in (load_encoder, load_tokenizer):
        with pytest.raises(BundleError, match=f"{tmp_path}: no .*, expected a local folder or a model hub name"):
            load(tmp_path)


def test_damaged_files_of_an_encoder_are_refused(tmp_path: Path) -> None:
    folder = xlmr_folder(tmp_path / "encoder")
    (folder / "tokenizer.json").write_text('{"version": "1.0"}', encoding="utf-8")
    with pytest.raises(BundleError, match=r"tokenizer\.json: not a tokenizer"):
        load_tokenizer(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BundleError, match="no encoder, expected"):
        load_encoder(folder)
