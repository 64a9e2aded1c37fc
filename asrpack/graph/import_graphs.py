"""The files of a foreign model to graphs of asrpack's interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, TopologicalSortPass

from asrpack.graph.from_onnx import load
from asrpack.graph.normalise import normalise
from asrpack.networks.foreign import ForeignEncoder
from asrpack.networks.interface import GraphSpec


def build(
    encoder: ForeignEncoder, files: Mapping[str, Path], specs: Sequence[GraphSpec]
) -> dict[str, onnx.ModelProto]:
    """Rewrites each graph.

    Args:
        encoder: how the encoder's graph is declared.
        files: by role, see :class:`asrpack.frontends.onnx_imported.Imported`.
        specs: the interfaces that come out, ``encoder`` first.

    Returns:
        By the graphs' names.
    """
    model = ir.from_proto(load(files["encoder"]))
    normalise(model, encoder, specs[0])
    return {"encoder": _finish(model)}


def _finish(model: ir.Model) -> onnx.ModelProto:
    # An output that asrpack does not take, and all that only it needs.
    RemoveUnusedNodesPass()(model)
    TopologicalSortPass()(model)
    model.ir_version = max(model.ir_version, 8)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    return proto
