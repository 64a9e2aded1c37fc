"""CTC beam search with an n-gram language model (DeepSpeech2's).

Follows third_party/ctc_decoders of PaddleSpeech (``ctc_beam_search_decoding``, PathTrie, Scorer),
in double precision where that computes in single, and finds the same texts. That takes along what
looks like an oversight there: behind a space no word is found until a first look-up has failed,
so the first unit tried is refused once. Only where ``cutoff_prob`` is 1 and ``cutoff_top_n`` less
than the vocabulary do the two differ: there it cuts nothing, here it cuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.bundle.model import NgramWeights
from asrpack.runtime.decoding.ctc_prefix_beam import Nbest
from asrpack.runtime.decoding.ngram import NgramModel, NgramState
from asrpack.runtime.text import SPACE


class _Prefix:
    """A unit sequence: what it scores, where it is in the language model and the dictionary."""

    __slots__ = ("children", "dictionary", "history", "now", "parent", "previous", "score", "unit")

    def __init__(self, parent: _Prefix | None, unit: int) -> None:
        self.parent, self.unit = parent, unit
        self.children: dict[int, _Prefix] = {}
        self.previous = self.now = (-inf, -inf)  # log p of paths by their end: blank, unit
        self.score = -inf
        self.history: tuple[NgramState, float] | None = None
        self.dictionary: dict[int, Any] = {}

    def units(self) -> tuple[int, ...]:
        backwards, prefix = [], self
        while prefix.parent is not None:
            backwards.append(prefix.unit)
            prefix = prefix.parent
        return tuple(reversed(backwards))


class NgramBeamSearch:
    """The search of one stream: log p of CTC + alpha log10 p of the model + beta words.

    Args:
        tokens: the vocabulary by id; ``<space>`` ends a word.
        model: None to search without one.
        weights: of the model, and what is looked at.
        beam_size: prefixes kept.
        blank_id: the CTC blank.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        model: NgramModel | None,
        weights: NgramWeights,
        *,
        beam_size: int = 500,
        blank_id: int = 0,
    ) -> None:
        self._tokens, self._model, self._weights = tokens, model, weights
        self._beam_size, self._blank_id = beam_size, blank_id
        self._space = tokens.index(SPACE) if SPACE in tokens else -2
        self._by_words = model is not None and not model.character_based
        self._root = _Prefix(None, -1)
        self._root.previous, self._root.score = (0.0, -inf), 0.0
        if model is not None:
            self._root.history = (model.start(), 0.0)
        if self._by_words:
            assert model is not None
            self._root.dictionary = _dictionary(model.words, tokens, self._space)
        self._beam = [self._root]

    def advance(self, ctc_log_probs: NDArray[np.float32]) -> None:
        """Searches on.

        Args:
            ctc_log_probs: the next frames, shape (T, V), without padding.
        """
        for frame in np.asarray(ctc_log_probs, np.float64):
            self._step(frame)

    def nbest(self) -> Nbest:
        """Units and combined score, best first, at most ``beam_size``.

        Where a word-based model has not scored the last word, that is done here: it may go on.
        """
        found = []
        for prefix in self._beam:
            score = prefix.score
            if self._by_words and prefix.parent is not None and prefix.unit != self._space:
                score += self._word_score(prefix)[1]
            found.append((prefix.units(), score))
        return sorted(found, key=lambda item: item[1], reverse=True)

    def best(self) -> tuple[int, ...]:
        """The units of the likeliest hypothesis so far."""
        return self.nbest()[0][0]

    def _step(self, frame: NDArray[np.float64]) -> None:
        beam, met = self._beam, dict.fromkeys(self._beam)
        least = -inf
        if self._model is not None and len(beam) == self._beam_size:
            least = beam[-1].score + float(frame[self._blank_id]) - max(0.0, self._weights.beta)
        for unit, p in self._pick(frame):
            for prefix in beam:
                if p + prefix.score < least:
                    break  # nor can those after it be in the beam
                if unit == self._blank_id:
                    blank, other = prefix.now
                    prefix.now = _log_add(blank, p + prefix.score), other
                    continue
                entering = prefix.score
                if unit == prefix.unit:
                    blank, other = prefix.now
                    prefix.now = blank, _log_add(other, p + prefix.previous[1])
                    entering = prefix.previous[0]
                if (child := self._child(prefix, unit)) is None:
                    continue
                met[child] = None
                if entering > -inf:
                    entering += p + self._language_score(prefix, child)
                    child.now = child.now[0], _log_add(child.now[1], entering)
        for prefix in met:
            prefix.previous, prefix.now = prefix.now, (-inf, -inf)
            prefix.score = _log_add(*prefix.previous)
        ranked = sorted(met, key=lambda prefix: (-prefix.score, prefix.unit))
        self._beam = ranked[: self._beam_size]
        self._drop(ranked[self._beam_size :])

    def _drop(self, prefixes: list[_Prefix]) -> None:
        """Forgets prefixes; one that others begin with stays in the tree."""
        kept = set(self._beam)
        for dropped in prefixes:
            dropped.previous, dropped.score = (-inf, -inf), -inf
            prefix: _Prefix = dropped
            while prefix.parent is not None and not prefix.children and prefix not in kept:
                # A parent forgotten before may already have lost it.
                prefix.parent.children.pop(prefix.unit, None)
                prefix = prefix.parent

    def _pick(self, frame: NDArray[np.float64]) -> list[tuple[int, float]]:
        """The units to look at, in upstream's order."""
        count = min(self._weights.cutoff_top_n, len(frame))
        ids = np.argpartition(-frame, count - 1)[:count]
        if count == len(frame) and self._weights.cutoff_prob >= 1.0:
            ids.sort()  # nothing to cut: upstream leaves them as they are
        else:
            ids = ids[np.lexsort((ids, -frame[ids]))]
        values = frame[ids]
        if self._weights.cutoff_prob < 1.0:
            total = np.cumsum(np.exp(values))
            count = int(np.searchsorted(total, self._weights.cutoff_prob)) + 1
        return list(zip(ids[:count].tolist(), values[:count].tolist(), strict=True))

    def _child(self, prefix: _Prefix, unit: int) -> _Prefix | None:
        """The prefix with one more unit; None where no word of the model goes on like that."""
        child = prefix.children.get(unit)
        if child is None:
            if self._by_words and unit not in prefix.dictionary:
                if prefix.unit == self._space:  # from now on any word may begin
                    prefix.dictionary = self._root.dictionary
                return None
            child = prefix.children[unit] = _Prefix(prefix, unit)
            if self._by_words:
                ends = unit == self._space
                child.dictionary = prefix.dictionary[unit]
                child.history = self._word_score(prefix) if ends else prefix.history
            elif self._model is not None:
                assert prefix.history is not None
                word = "" if unit == self._space else self._tokens[unit]
                child.history = self._score(prefix.history[0], word)
        return child

    def _language_score(self, prefix: _Prefix, child: _Prefix) -> float:
        if self._model is None or (self._by_words and child.unit != self._space):
            return 0.0
        assert child.history is not None
        return child.history[1]

    def _word_score(self, prefix: _Prefix) -> tuple[NgramState, float]:
        """The state after a prefix's last word, and what the word adds."""
        assert prefix.history is not None
        history, backwards, node = prefix.history[0], [], prefix
        while node.parent is not None and node.unit != self._space:
            backwards.append(self._tokens[node.unit])
            node = node.parent
        return self._score(history, "".join(reversed(backwards)))

    def _score(self, state: NgramState, word: str) -> tuple[NgramState, float]:
        assert self._model is not None
        state, score = self._model.score(state, word)
        return state, self._weights.alpha * score + self._weights.beta


def _dictionary(words: frozenset[str], tokens: Sequence[str], space: int) -> dict[int, Any]:
    """The words that the tokens can spell, as a tree by unit; a space ends one."""
    ids = {token: unit for unit, token in enumerate(tokens)}
    root: dict[int, Any] = {}
    for word in sorted(words):
        units = [ids.get(character) for character in word]
        if None in units:
            continue
        node = root
        for unit in units:
            node = node.setdefault(unit, {})  # type: ignore[arg-type]
        node[space] = {}
    return root


def _log_add(a: float, b: float) -> float:
    if a == -inf or b == -inf:
        return max(a, b)
    top = max(a, b)
    return top + log(exp(a - top) + exp(b - top))
