"""How hypotheses are laid out for an attention decoder: side by side, or as one tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def padded(
    hypotheses: Sequence[tuple[int, ...]], sos_id: int, eos_id: int, blank_id: int
) -> tuple[Integers, Integers]:
    """Hypotheses side by side, as PaddleSpeech has them.

    Returns:
        ``hyps_in`` (N, L): ``sos``, the units, ``eos`` up to the longest; and ``hyps_lens`` (N,),
        which counts ``sos``. An empty hypothesis holds one blank that its length leaves out.
    """
    longest = max(len(units) or 1 for units in hypotheses)
    hyps_in = np.full((len(hypotheses), longest + 1), eos_id, np.int64)
    hyps_in[:, 0] = sos_id
    for row, units in zip(hyps_in, hypotheses, strict=True):
        content = units or (blank_id,)
        row[1 : len(content) + 1] = content
    lengths = np.array([len(units) + 1 for units in hypotheses], np.int64)
    return hyps_in, lengths


@dataclass(frozen=True)
class PrefixTree:
    """Prefixes of hypotheses, each of them once; what they share is computed once.

    A beam's hypotheses differ in few places. Attention that looks at a node's ancestors alone
    gives for each prefix what it would give for the hypothesis by itself (tree attention, Miao et
    al. 2024, SpecInfer).

    Attributes:
        units: (M,), the last unit of each prefix, the shortest prefix first on every way; ``sos``
            at 0.
        ancestors: (M, M), 1 where the unit of a column is in the prefix of a row, else 0.
        places: of each hypothesis, (n + 1,): where its prefixes are, from ``sos`` alone to all of
            its n units.
    """

    units: Integers
    ancestors: Integers
    places: list[Integers]


def prefix_tree(hypotheses: Sequence[tuple[int, ...]], sos_id: int) -> PrefixTree:
    """The tree of hypotheses."""
    units, parents = [sos_id], [0]
    nodes: dict[tuple[int, int], int] = {}
    places = []
    for hypothesis in hypotheses:
        way = [0]
        for unit in hypothesis:
            key = (way[-1], unit)
            if key not in nodes:
                nodes[key] = len(units)
                units.append(unit)
                parents.append(way[-1])
            way.append(nodes[key])
        places.append(np.array(way, np.int64))
    ancestors = np.eye(len(units), dtype=np.int64)
    for node, parent in enumerate(parents[1:], 1):
        ancestors[node, : parent + 1] = ancestors[parent, : parent + 1]
    return PrefixTree(np.array(units, np.int64), ancestors, places)
