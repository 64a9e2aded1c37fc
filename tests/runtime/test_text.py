"""Units to text, sentencepiece's own included."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrpack.runtime.text import detokenize

TOKENS = ["<blank>", "<unk>", "a", "b", "<space>", "字", "<eos>"]
SENTENCES = [
    "hello world",
    "the quick brown fox",
    "日本 語 の 文",
    "naïve café",
    "a  b",
    "ünï çødé 😀",
]


@pytest.mark.parametrize(
    ("units", "text"),
    [
        ((), ""),
        ((2, 4, 3), "a b"),
        ((5, 5), "字字"),
        ((2, 6, 3), "a"),
        ((6,), ""),
        ((4, 2, 4), " a "),
        ((2, 1, 3), "a<unk>b"),
    ],
)
def test_characters(units: tuple[int, ...], text: str) -> None:
    assert detokenize(units, TOKENS, eos_id=6) == text


def test_words() -> None:
    tokens = ["<blank>", "one", "two", "<eos>"]
    assert detokenize((1, 2, 1, 3, 2), tokens, 3, "word") == "one two one"
    assert detokenize((), tokens, 3, "word") == ""


@pytest.fixture(scope="module", params=["unigram", "bytes"])
def sentencepiece(request: pytest.FixtureRequest) -> Any:
    """A model of its own, with and without pieces for single bytes."""
    library = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES[:2] * 20),
        model_writer=model,
        vocab_size=290 if request.param == "bytes" else 30,
        model_type="bpe" if request.param == "bytes" else "unigram",
        byte_fallback=request.param == "bytes",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return library.SentencePieceProcessor(model_proto=model.getvalue())


def vocabulary(sentencepiece: Any) -> list[str]:
    pieces = [sentencepiece.id_to_piece(i) for i in range(sentencepiece.get_piece_size())]
    return ["<blank>", *pieces, "<eos>"]


@given(units=st.lists(st.integers(0, 10**6), max_size=12))
@settings(max_examples=500)
def test_any_pieces_as_sentencepiece_joins_them(sentencepiece: Any, units: list[int]) -> None:
    tokens = vocabulary(sentencepiece)
    units = [unit % (len(tokens) - 1) for unit in units]
    expected = sentencepiece.DecodePieces([tokens[unit] for unit in units])
    assert detokenize(units, tokens, len(tokens) - 1, "spm") == expected


@given(data=st.binary(max_size=12))
@settings(max_examples=300)
def test_any_bytes_as_sentencepiece_decodes_them(sentencepiece: Any, data: bytes) -> None:
    tokens = vocabulary(sentencepiece)
    if "<0x00>" not in tokens:
        return
    units = [tokens.index(f"<0x{byte:02X}>") for byte in data]
    expected = sentencepiece.DecodePieces([tokens[unit] for unit in units])
    assert detokenize(units, tokens, len(tokens) - 1, "spm") == expected


@pytest.mark.parametrize("sentence", SENTENCES)
def test_sentences_survive(sentencepiece: Any, sentence: str) -> None:
    tokens = vocabulary(sentencepiece)
    units = [1 + unit for unit in sentencepiece.EncodeAsIds(sentence)]
    text = detokenize([*units, len(tokens) - 1, 5], tokens, len(tokens) - 1, "spm")
    assert text == sentencepiece.DecodePieces([tokens[unit] for unit in units])
    if "<0x00>" in tokens:
        assert text == " ".join(sentence.split())


@given(text=st.text(max_size=8))
def test_utf8_bytes_round_trip(text: str) -> None:
    tokens = [f"<0x{byte:02X}>" for byte in range(256)] + ["<eos>"]
    assert detokenize(list(text.encode()), tokens, 256, "spm") == text
