"""Search over CTC log-probabilities, and the attention decoder's rescoring and search."""

from __future__ import annotations

from asrpack.runtime.decoding.alignment import UnitTime, ctc_align, nbest_confidence, unit_times
from asrpack.runtime.decoding.attention import attention_search
from asrpack.runtime.decoding.attention_rescoring import (
    attention_rescoring,
    bidirectional_rescoring,
)
from asrpack.runtime.decoding.context_graph import ContextGraph
from asrpack.runtime.decoding.ctc_greedy import GreedySearch, ctc_greedy_search
from asrpack.runtime.decoding.ctc_ngram_beam import NgramBeamSearch
from asrpack.runtime.decoding.ctc_prefix_beam import (
    Nbest,
    PrefixBeamSearch,
    ctc_prefix_beam_search,
)
from asrpack.runtime.decoding.ngram import NgramModel

__all__ = [
    "ContextGraph",
    "GreedySearch",
    "Nbest",
    "NgramBeamSearch",
    "NgramModel",
    "PrefixBeamSearch",
    "UnitTime",
    "attention_rescoring",
    "attention_search",
    "bidirectional_rescoring",
    "ctc_align",
    "ctc_greedy_search",
    "ctc_prefix_beam_search",
    "nbest_confidence",
    "unit_times",
]
