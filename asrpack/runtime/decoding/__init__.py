"""Search over CTC log-probabilities, and rescoring with the attention decoder."""

from __future__ import annotations

from asrpack.runtime.decoding.attention_rescoring import attention_rescoring
from asrpack.runtime.decoding.context_graph import ContextGraph
from asrpack.runtime.decoding.ctc_greedy import GreedySearch, ctc_greedy_search
from asrpack.runtime.decoding.ctc_prefix_beam import (
    Nbest,
    PrefixBeamSearch,
    ctc_prefix_beam_search,
)

__all__ = [
    "ContextGraph",
    "GreedySearch",
    "Nbest",
    "PrefixBeamSearch",
    "attention_rescoring",
    "ctc_greedy_search",
    "ctc_prefix_beam_search",
]
