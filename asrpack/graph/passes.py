"""The passes of an optimized graph, in their order, and the running of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes import PassBase
from onnx_ir.passes.common import NameFixPass, RemoveUnusedNodesPass, TopologicalSortPass
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules.common import fuse_batchnorm_into_conv_rule

from asrpack.errors import ToolchainError
from asrpack.graph.channels_last import ChannelsLast
from asrpack.graph.conv1d import ReduceConvRank
from asrpack.graph.conv_bias import FoldConvBias
from asrpack.graph.deduplicate import Deduplicate
from asrpack.graph.fold import FoldConstants
from asrpack.graph.fold_scale import FoldScale
from asrpack.graph.pointwise_conv import PointwiseConvToMatMul
from asrpack.graph.position_scores import MaskByKey, MergePositionScores
from asrpack.graph.quiet import quiet
from asrpack.graph.simplify import Simplify
from asrpack.graph.sink_transposes import SinkTransposes
from asrpack.graph.strip import Strip


@dataclass(frozen=True)
class NamedPass:
    """A pass under the name that messages call it by."""

    name: str
    apply: PassBase


def standard_passes(graph_name: str) -> tuple[NamedPass, ...]:
    """What every exported graph goes through.

    Nothing here depends on the machine: no layouts of its vectors, no contrib operators. ONNX
    Runtime does those when it loads the graph, for the machine it is on. What each pass is worth:
    docs/passes.md.
    """
    return (
        NamedPass("fold constants", FoldConstants()),
        NamedPass("simplify", Simplify()),
        NamedPass("fold convolution bias", FoldConvBias()),
        NamedPass("reduce convolution rank", ReduceConvRank()),
        NamedPass("fold batch norm", RewritePass([fuse_batchnorm_into_conv_rule])),
        NamedPass("pointwise convolution to MatMul", PointwiseConvToMatMul()),
        NamedPass("merge position scores", MergePositionScores()),
        NamedPass("fold scale", FoldScale()),
        NamedPass("mask by key", MaskByKey()),
        NamedPass("channels last", ChannelsLast()),
        NamedPass("sink transposes", SinkTransposes()),
        NamedPass("merge transposes", Simplify()),
        NamedPass("deduplicate", Deduplicate()),
        NamedPass("remove unused", RemoveUnusedNodesPass()),
        NamedPass("strip", Strip(graph_name)),
        NamedPass("sort", TopologicalSortPass()),
        NamedPass("fix names", NameFixPass()),
    )


def run_passes(model: ir.Model, passes: Sequence[NamedPass], place: str) -> None:
    """Applies passes in place, in order.

    Args:
        place: what an error calls the graph, e.g. ``encoder.onnx``.

    Raises:
        ToolchainError: a pass failed; it is named.
    """
    for item in passes:
        try:
            with quiet():
                item.apply(model)
        except Exception as error:  # passes are other people's code, too
            raise ToolchainError(
                f"the graph pass {item.name!r} failed: {error}",
                code="graph-pass",
                place=place,
                remedy="report this with the file that `--until convert` leaves",
            ) from error
