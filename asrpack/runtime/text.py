"""Units to text (``TextFeaturizer.defeaturize`` of PaddleSpeech)."""

from __future__ import annotations

from collections.abc import Sequence

SPACE = "<space>"
WORD_START = "▁"


def detokenize(
    units: Sequence[int], tokens: Sequence[str], eos_id: int, unit_type: str = "char"
) -> str:
    """Joins units up to the first ``eos``; ``<space>`` becomes a blank, all else stays.

    PaddleSpeech prints ``<unk>`` as it is, and so does this. Of the unit types, ``word`` puts
    blanks between units, and ``spm`` has ``▁`` where a word begins. An empty unit is silent.
    """
    text = []
    for unit in units:
        if unit == eos_id:
            break
        text.append(tokens[unit].replace(SPACE, " "))
    if unit_type == "word":
        return " ".join(filter(None, text))
    joined = "".join(text)
    return joined.replace(WORD_START, " ").strip() if unit_type == "spm" else joined
