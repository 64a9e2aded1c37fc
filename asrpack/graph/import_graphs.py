"""The files of a foreign model to graphs of asrpack's interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnx.compose
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, TopologicalSortPass

from asrpack.graph.from_onnx import load
from asrpack.graph.normalise import normalise, normalise_decoder
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
    proto = load(files["encoder"])
    if "ctc" in files:
        proto = _join(proto, load(files["ctc"]))
    model = ir.from_proto(proto)
    normalise(model, encoder, specs[0])
    graphs = {"encoder": _finish(model)}
    if "decoder" in files:
        decoder = ir.from_proto(load(files["decoder"]))
        normalise_decoder(decoder, specs[1])
        graphs["decoder"] = _finish(decoder)
    return graphs


def _join(encoder: onnx.ModelProto, ctc: onnx.ModelProto) -> onnx.ModelProto:
    """One graph of WeNet's two; the encoder's output stays an output."""
    renamed = onnx.compose.add_prefix(ctc, "ctc.")
    joined: onnx.ModelProto = onnx.compose.merge_models(
        encoder,
        renamed,
        [(encoder.graph.output[0].name, renamed.graph.input[0].name)],
        outputs=[encoder.graph.output[0].name, renamed.graph.output[0].name],
    )
    return joined


def _finish(model: ir.Model) -> onnx.ModelProto:
    # An output that asrpack does not take, and all that only it needs.
    RemoveUnusedNodesPass()(model)
    TopologicalSortPass()(model)
    model.ir_version = max(model.ir_version, 8)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    return proto
