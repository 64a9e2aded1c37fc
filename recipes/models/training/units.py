"""Vocabularies: characters as the quickstart has them, or subwords of a sentencepiece model."""

from __future__ import annotations

import io
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SUBWORDS = 60  # of sentencepiece, with its own <unk>, <s> and </s>
FOLDER = Path("data/lang_char")


def write_units(model: Path, unit_type: str, texts: Iterable[str]) -> str:
    """Writes `vocab.txt`, and the sentencepiece model if there is one.

    Returns:
        str: `spm_model_prefix` for `model.yaml`, empty for characters.
    """
    folder = model / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    prefix = ""
    if unit_type == "spm":
        prefix = str(FOLDER / f"bpe_unigram_{SUBWORDS}")
        units = train_subwords(model / prefix, texts)
    else:
        units = ["'", *string.ascii_lowercase, "<space>"]
    lines = ["<blank>", "<unk>", *units, "<eos>"]
    (folder / "vocab.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return prefix


def train_subwords(prefix: Path, texts: Iterable[str]) -> list[str]:
    """A unigram model of sentencepiece, as PaddleSpeech's `spm_train`; its pieces."""
    import sentencepiece

    content = io.BytesIO()  # so that the file has no path in it
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(texts),
        model_writer=content,
        model_type="unigram",
        vocab_size=SUBWORDS,
        # Words are few: without this bound each would be one piece.
        max_sentencepiece_length=4,
        hard_vocab_limit=False,
        # The texts are plain ASCII, and the usual tables would take 240 kB.
        normalization_rule_name="identity",
        minloglevel=2,
    )
    prefix.with_suffix(".model").write_bytes(content.getvalue())
    processor = sentencepiece.SentencePieceProcessor()
    processor.Load(f"{prefix}.model")
    pieces = [processor.IdToPiece(i) for i in range(processor.GetPieceSize())]
    return [piece for piece in pieces if piece not in ("<unk>", "<s>", "</s>")]


def text_featurizer(model: Path, unit_type: str, spm_model_prefix: str) -> Any:
    """PaddleSpeech's own, from texts to ids and back."""
    from paddlespeech.s2t.frontend.featurizer.text_featurizer import TextFeaturizer

    return TextFeaturizer(
        unit_type,
        str(model / FOLDER / "vocab.txt"),
        str(model / spm_model_prefix) if spm_model_prefix else None,
    )
