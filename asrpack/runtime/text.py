"""Units to text (``TextFeaturizer.defeaturize`` of PaddleSpeech)."""

from __future__ import annotations

from collections.abc import Sequence

SPACE = "<space>"


def join_texts(texts: Sequence[str], tokens: Sequence[str]) -> str:
    """One text of several, with blanks between where the vocabulary has one."""
    return (" " if SPACE in tokens else "").join(texts)


def detokenize(units: Sequence[int], tokens: Sequence[str], eos_id: int) -> str:
    """Joins units up to the first ``eos``; ``<space>`` becomes a blank, all else stays.

    PaddleSpeech prints ``<unk>`` as it is, and so does this.
    """
    text = []
    for unit in units:
        if unit == eos_id:
            break
        text.append(tokens[unit].replace(SPACE, " "))
    return "".join(text)
