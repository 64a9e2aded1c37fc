"""The models that :mod:`benchmarks.rivals` compares: one set of weights, as each system takes it.

sherpa-onnx gets its WeNet CTC type: the interface and metadata that its ``scripts/wenet/
export-onnx.py`` writes, and int8 by that script's call. Where WeNet has CMVN inside its network,
the model's is put in front of the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from asrpack.bundle.model import Cmvn, ModelDescription
from asrpack.graph.files import load_graph, save_graph
from asrpack.graph.passes import run_passes, standard_passes
from asrpack.graph.quiet import quiet
from asrpack.stages.quantize import Quantize
from benchmarks.rival_systems import Layout
from benchmarks.stage_chain import run_stage, run_until_optimized

POINTWISE = "pointwise convolution to MatMul"


def build(layout: Layout, manifest: Path) -> None:
    """Makes every system's files of the PaddleSpeech model directory that is there.

    Args:
        manifest: recordings that asrpack compares its steps on.
    """
    files = run_until_optimized(layout.paddlespeech, manifest, layout.folder)
    params = Quantize.Params(precision="int8")
    int8 = run_stage(Quantize(), {"onnx": files["optimized"]}, layout.folder, params) / "onnx"
    files["optimized"].rename(layout.fp32)
    int8.rename(layout.int8)
    files["description"].rename(layout.description)
    description = ModelDescription.read(layout.description)

    layout.sherpa.mkdir()
    write_tokens(description, layout.tokens)
    # WeNet's export holds pointwise convolutions; sherpa-onnx's script quantizes none.
    exported = load_graph(files["converted"] / "encoder.onnx")
    passes = [item for item in standard_passes("encoder") if item.name != POINTWISE]
    run_passes(exported, passes, "encoder.onnx")
    optimized = load_graph(layout.fp32 / "encoder.onnx")
    for model, name in ((exported, "exported"), (optimized, "optimized")):
        wenet_interface(model, description)
        save_graph(model, layout.sherpa_model(name))
        sherpa_int8(layout.sherpa_model(name), layout.sherpa_model(f"{name}.int8"))


def wenet_interface(model: ir.Model, description: ModelDescription) -> None:
    """Gives an asrpack encoder of whole recordings WeNet's inputs, outputs and metadata.

    ``x`` (N, T, D) and ``x_lens`` (N,) in, ``log_probs`` (N, T', V) and ``log_probs_lens`` (N,)
    out, in this order: sherpa-onnx goes by it.
    """
    graph = model.graph
    ends = {str(value.name): value for value in (*graph.inputs, *graph.outputs)}
    renamed = {"feat_lens": "x_lens", "ctc_log_probs": "log_probs", "out_lens": "log_probs_lens"}
    for old, new in renamed.items():
        ends[old].name = new
    feats = ends["feats"]
    if description.cmvn is None:
        feats.name = "x"
    else:
        _put_in_front(graph, feats, description.cmvn)
    graph.outputs[:] = [ends["ctc_log_probs"], ends["out_lens"]]
    RemoveUnusedNodesPass()(model)
    model.metadata_props.clear()
    model.metadata_props.update(_metadata(description))


def _put_in_front(graph: ir.Graph, feats: ir.Value, cmvn: Cmvn) -> None:
    x = ir.Value(name="x", type=feats.type, shape=feats.shape)
    values = [x]
    for operator, name, numbers in (
        ("Sub", "cmvn_mean", cmvn.mean),
        ("Mul", "cmvn_istd", cmvn.istd),
    ):
        array = np.asarray(numbers, np.float32)
        tensor = ir.tensor(array, name=name)
        constant = ir.Value(
            name=name, const_value=tensor, shape=ir.Shape(array.shape), type=feats.type
        )
        graph.register_initializer(constant)
        node = ir.node(operator, [values[-1], constant], name=f"{name}_{operator}")
        node.outputs[0].name = f"{name}_out"
        values.append(node.outputs[0])
    first = graph[0]
    feats.replace_all_uses_with(values[-1])
    for value in values[1:]:
        graph.insert_before(first, value.producer())
    graph.inputs[0] = x


def _metadata(description: ModelDescription) -> Mapping[str, str]:
    return {
        "model_type": "wenet_ctc",
        "version": "1",
        "model_author": "wenet",
        "comment": "non-streaming",
        "subsampling_factor": str(description.subsampling),
        "vocab_size": str(len(description.tokens)),
        "url": "",
    }


def write_tokens(description: ModelDescription, path: Path) -> None:
    """sherpa-onnx's ``tokens.txt``: a unit and its id in each line."""
    lines = [f"{token} {unit}" for unit, token in enumerate(description.tokens)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def sherpa_int8(source: Path, out: Path) -> None:
    """Quantizes with the arguments that ``scripts/wenet/export-onnx.py`` gives."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():
        quantize_dynamic(
            model_input=source,
            model_output=out,
            op_types_to_quantize=["MatMul"],
            weight_type=QuantType.QInt8,
        )
