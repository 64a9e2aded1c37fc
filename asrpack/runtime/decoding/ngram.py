"""n-gram language models in KenLM's formats: ARPA text and binary.

KenLM itself reads and scores them, through flashlight-text: the one package that has it compiled
for both machines that bundles run on. It is an optional dependency, needed where a model is used.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrpack.errors import InputError, ToolchainError

# What upstream's scorer gives a word that the model does not know (scorer.h); base 10.
UNKNOWN_SCORE = -1000.0
MARKERS = frozenset({"<unk>", "<s>", "</s>"})
_BINARY = b"mmap lm http://kheafield.com/code format version 5\n"
# sizeof(Sanity) of lm/binary_format.cc, then order, multiplier, type, has_vocabulary, version and
# the number of unigrams.
_HEADER = struct.Struct("<88x B 3x f I ? 3x I Q")


@dataclass(frozen=True)
class NgramState:
    """The words so far, as far as they matter for the next.

    Attributes:
        history: KenLM's state.
        unknown: for how many more words one that the model does not know stays in the n-gram.
    """

    history: Any
    unknown: int


class NgramModel:
    """Scores words one after the other (``Scorer`` of PaddleSpeech's ctc_decoders).

    Args:
        path: an ARPA file, or one that KenLM's ``build_binary`` made of it with its vocabulary,
            which is the default. Binaries load at once and are shared between processes.

    Attributes:
        order: the longest n-gram.
        words: all that the model knows, without its markers.
        character_based: no word is longer than one character. Such a model scores each unit,
            another one each word that ends.

    Raises:
        InputError: no such file, or not a language model.
        ToolchainError: flashlight-text is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            from flashlight.lib.text.decoder.kenlm import KenLM
            from flashlight.lib.text.dictionary import Dictionary
        except ImportError as error:
            raise ToolchainError(
                f"decoding with a language model needs flashlight-text: {error}",
                code="flashlight-text",
                remedy="install it: pip install flashlight-text",
            ) from None
        try:
            self.order, vocabulary = _read_vocabulary(path)
            self.words = frozenset(vocabulary) - MARKERS
            known = sorted(self.words)
            self._ids = {word: place for place, word in enumerate(known)}
            self._model = KenLM(str(path), Dictionary(known))
        except (OSError, RuntimeError, ValueError, struct.error) as error:
            raise InputError(
                f"not a language model: {str(error).splitlines()[-1]}",  # KenLM's first is its own
                code="language-model",
                place=str(path),
                remedy="give an ARPA file, or what KenLM's build_binary makes of it",
            ) from None
        self.character_based = all(len(word) <= 1 for word in self.words)

    def start(self) -> NgramState:
        """Before the first word."""
        return NgramState(self._model.start(False), 0)

    def score(self, state: NgramState, word: str) -> tuple[NgramState, float]:
        """The state after a word, and log10 of its probability after what came before.

        :data:`UNKNOWN_SCORE` where the model does not know it, or one of the words before it
        that are in the same n-gram, as upstream.
        """
        known = self._ids.get(word)
        if known is None:
            return NgramState(self._model.start(True), self.order - 1), UNKNOWN_SCORE
        history, score = self._model.score(state.history, known)
        if state.unknown:
            return NgramState(history, state.unknown - 1), UNKNOWN_SCORE
        return NgramState(history, 0), float(score)


def _read_vocabulary(path: Path) -> tuple[int, list[str]]:
    """Order and words of a model."""
    with path.open("rb") as file:
        binary = file.read(len(_BINARY)) == _BINARY
    return _read_binary(path) if binary else _read_arpa(path)


def _read_binary(path: Path) -> tuple[int, list[str]]:
    """The words lie at the end, each with a NUL behind it, ``<unk>`` first (lm/vocab.cc)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        order, _, _, has_vocabulary, _, count = _HEADER.unpack_from(data)
        if not has_vocabulary:
            raise ValueError("it was built without its vocabulary")
        words = data[data.rfind(b"<unk>\0") :].decode("utf-8").split("\0")[:-1]
    if len(words) not in (count, count + 1):  # <unk> is counted only where the ARPA file has it
        raise ValueError(f"it has {len(words)} words of {count}")
    return order, words


def _read_arpa(path: Path) -> tuple[int, list[str]]:
    with path.open(encoding="utf-8", newline="\n") as lines:
        order = sum(1 for line in _section(lines) if re.match(r"ngram\s+\d+\s*=", line))
        if not order:
            raise ValueError("no n-gram counts: neither ARPA text nor a KenLM binary")
        return order, [line.split()[1] for line in _section(lines)]


def _section(lines: Iterator[str]) -> Iterator[str]:
    """The lines up to the next heading that follows some, without blank ones."""
    found = False
    for line in lines:
        text = line.strip()
        if text.startswith("\\") and text.endswith((":", "\\")):
            if found:
                return
        elif text:
            found = True
            yield text
