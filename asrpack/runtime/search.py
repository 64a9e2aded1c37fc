"""The search of one utterance, by any of the decoding methods, whole or chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from asrpack.bundle.model import DECODER_METHODS, ModelDescription
from asrpack.errors import UsageError
from asrpack.runtime.decoder import Decoder
from asrpack.runtime.decoding import (
    ContextGraph,
    GreedySearch,
    Nbest,
    PrefixBeamSearch,
    attention_rescoring,
    attention_search,
    bidirectional_rescoring,
    nbest_confidence,
)
from asrpack.runtime.decoding.ctc_ngram_beam import NgramBeamSearch
from asrpack.runtime.decoding.ngram import NgramModel
from asrpack.runtime.text import detokenize

Floats = NDArray[np.float32]
# Methods that hotwords can bias.
HOTWORD_METHODS = ("ctc_prefix_beam_search", "attention_rescoring")


@dataclass(frozen=True)
class Encoded:
    """An encoder's result for one utterance, or for a chunk of one.

    Attributes:
        ctc_log_probs: shape (T', V), natural logarithm.
        encoder_out: shape (T', H), or None where there is no decoder to take it.
    """

    ctc_log_probs: Floats
    encoder_out: Floats | None


@dataclass(frozen=True)
class Hypothesis:
    """What was recognised.

    Attributes:
        text: for people.
        tokens: unit ids as the search found them.
        score: log-probability as the method defines it; methods' scores don't compare.
        confidence: in [0, 1]: how likely it is among all that the search found
            (:func:`asrpack.runtime.decoding.nbest_confidence`); of the greedy search, which finds
            one, the geometric mean of the best path's posteriors.
    """

    text: str
    tokens: tuple[int, ...]
    score: float
    confidence: float


NOTHING = Hypothesis("", (), 0.0, 1.0)


class Search:
    """One utterance by one method.

    Args:
        about: units and decoding options.
        method: one of ``about.methods``.
        decoders: ``decoder`` and ``right_decoder``, where the method needs them.
        ngram: the language model, for ``ctc_beam_search``.
        hotwords: for :data:`HOTWORD_METHODS`.

    Raises:
        UsageError: the method takes no hotwords.
    """

    def __init__(
        self,
        about: ModelDescription,
        method: str,
        decoders: Mapping[str, Decoder],
        *,
        ngram: NgramModel | None = None,
        hotwords: ContextGraph | None = None,
    ) -> None:
        if hotwords is not None and method not in HOTWORD_METHODS:
            raise UsageError(
                f"{method} takes no hotwords",
                code="hotwords-method",
                remedy=f"decode with {' or '.join(HOTWORD_METHODS)}",
            )
        self._about, self._method, self._decoders = about, method, decoders
        self._ctc = _ctc_search(about, method, ngram, hotwords)
        self._biased = hotwords is not None
        # Kept for a decoder that looks at the whole utterance in the end.
        self._encoder_out: list[Floats] = []
        self._frames = 0

    def advance(self, encoded: Encoded) -> None:
        """Searches on through a chunk's frames."""
        self._ctc.advance(encoded.ctc_log_probs)
        self._frames += len(encoded.ctc_log_probs)
        if self._method in DECODER_METHODS and encoded.encoder_out is not None:
            self._encoder_out.append(encoded.encoder_out)

    def partial(self) -> Hypothesis:
        """The best so far, by CTC alone; it may change."""
        if not self._frames:
            return NOTHING
        return self._hypotheses(self._ctc_nbest(), 1)[0]

    def final(self) -> list[Hypothesis]:
        """The n-best by the method asked for, best first; :data:`NOTHING` for no frames."""
        if not self._frames:
            return [NOTHING]
        if self._method not in DECODER_METHODS:
            return self._hypotheses(self._ctc_nbest())
        encoder_out = np.concatenate(self._encoder_out)
        if self._method == "attention":
            return self._hypotheses(self._attend(encoder_out))
        return self._hypotheses(self._rescore(encoder_out))

    def _ctc_nbest(self) -> Nbest:
        if isinstance(self._ctc, GreedySearch):
            return [(self._ctc.best(), self._ctc.score)]
        return self._ctc.nbest()

    def _attend(self, encoder_out: Floats) -> Nbest:
        about = self._about
        return attention_search(
            partial(self._decoders["decoder"].step, encoder_out),
            len(encoder_out),
            beam_size=about.decode.beam_size,
            sos_id=about.sos,
            eos_id=about.eos,
        )

    def _rescore(self, encoder_out: Floats) -> Nbest:
        about, ctc = self._about, self._ctc
        assert isinstance(ctc, PrefixBeamSearch)
        left = partial(self._decoders["decoder"].prefixes, encoder_out)
        eos_id, weight = about.eos, about.decode.ctc_weight
        boosts = ctc.boosts() if self._biased else None
        if not about.decode.reverse_weight:
            return attention_rescoring(
                ctc.nbest(), left, ctc_weight=weight, eos_id=eos_id, boosts=boosts
            )
        return bidirectional_rescoring(
            ctc.nbest(),
            left,
            partial(self._decoders["right_decoder"].prefixes, encoder_out),
            ctc_weight=weight,
            reverse_weight=about.decode.reverse_weight,
            eos_id=eos_id,
            boosts=boosts,
        )

    def _hypotheses(self, nbest: Nbest, most: int | None = None) -> list[Hypothesis]:
        """The first ``most``; None for all."""
        about = self._about
        # A beam with room to spare holds what cannot be, too.
        best, *others = nbest
        nbest = [best, *(item for item in others if item[1] > -math.inf)]
        confidences = self._confidences(nbest)
        return [
            Hypothesis(
                detokenize(units, about.tokens, about.eos, about.unit_type),
                units,
                score,
                confidence,
            )
            for (units, score), confidence in zip(nbest[:most], confidences[:most], strict=True)
        ]

    def _confidences(self, nbest: Nbest) -> Sequence[float]:
        if isinstance(self._ctc, GreedySearch):
            return [math.exp(self._ctc.score / self._frames)]
        return nbest_confidence([score for _, score in nbest])


def _ctc_search(
    about: ModelDescription, method: str, ngram: NgramModel | None, hotwords: ContextGraph | None
) -> GreedySearch | PrefixBeamSearch | NgramBeamSearch:
    if method == "ctc_greedy_search":
        return GreedySearch(about.blank_id)
    if method == "ctc_beam_search":
        assert about.decode.ngram is not None  # or it would not be one of the methods
        return NgramBeamSearch(
            about.tokens,
            ngram,
            about.decode.ngram,
            beam_size=about.decode.beam_size,
            blank_id=about.blank_id,
        )
    return PrefixBeamSearch(about.decode.beam_size, about.blank_id, hotwords)
