"""Measures what range of numbers each activation takes on real speech."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from asrpack.bundle.model import ModelDescription
from asrpack.errors import ToolchainError
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage

if TYPE_CHECKING:
    from onnx import ModelProto

    from asrpack.measure.feeds import CalibrationSet

# They try 36 scales on every activation of every call, and keep what suits a single call best.
_SEARCHING = ("mse", "emd")
_FEW = 16
Ranges = dict[str, dict[str, tuple[float, float]]]  # graph → tensor → lowest, highest


class CalibrateParams(stage.Params):
    """As the recipe's ``quantize`` section has them.

    Attributes:
        observer: one of ONNX Runtime's or PaddleSlim's.
        percentile: share of the numbers that ``percentile`` keeps, in percent.
        attention: products of two activations, too.
    """

    observer: str
    percentile: float = 99.99
    attention: bool = False


class Calibrate(Stage):
    """``calibration.json``: ``set``, what was calibrated on; ``ranges`` by graph and tensor.

    Inputs: ``onnx`` (fp32), ``description`` (configured), ``manifest`` (calibration); for
    PaddleSlim's observers ``params`` of the import stage, and ``factors`` where the graphs were
    smoothed.
    """

    name: ClassVar[str] = "calibrate"
    outputs: ClassVar[tuple[str, ...]] = ("calibration.json",)
    tools: ClassVar[tuple[str, ...]] = (
        "numpy", "onnx", "onnxruntime", "paddlepaddle", "paddleslim", "soundfile", "soxr",
    )  # fmt: skip
    isolated: ClassVar[bool] = True
    Params: ClassVar[type[stage.Params]] = CalibrateParams

    def run(
        self, params: CalibrateParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Runs the graphs, or the network, on the calibration set.

        Raises:
            ToolchainError: an observer failed, or saw nothing of a layer.
        """
        import onnx

        from asrpack.graph.quantization.observers import OBSERVERS

        models = {path.stem: onnx.load(str(path)) for path in sorted(inputs["onnx"].glob("*.onnx"))}
        observe = _by_onnxruntime if params.observer in OBSERVERS else _by_paddleslim
        calibration, ranges = observe(params, inputs, models, context)
        text = json.dumps({"set": calibration.to_dict(), "ranges": ranges}, indent=1)
        (out / "calibration.json").write_text(text + "\n")
        context.progress(1, 1, f"{sum(map(len, ranges.values()))} activations")


def _by_onnxruntime(
    params: CalibrateParams,
    inputs: Mapping[str, Path],
    models: Mapping[str, ModelProto],
    context: Context,
) -> tuple[CalibrationSet, Ranges]:
    from asrpack.graph.activations import OpenGraph
    from asrpack.graph.quantization.observers import observer
    from asrpack.graph.quantization.operators import activations, operator_kinds
    from asrpack.measure.feeds import run_on_recordings
    from asrpack.networks.families import graph_specs

    graphs = {}
    for name, model in models.items():
        kinds = operator_kinds(model)
        nodes = {node for node, kind in kinds.items() if kind != "attention" or params.attention}
        graphs[name] = OpenGraph(model, activations(model, nodes), f"{name}.onnx")
    observers = {name: observer(params.observer, params.percentile) for name in models}

    def run(graph: str, feed: Mapping[str, Any]) -> dict[str, Any]:
        outputs, tensors = graphs[graph].run(feed)
        observers[graph].observe(tensors)
        return outputs

    description = ModelDescription.read(inputs["description"])
    calibration = run_on_recordings(
        description, graph_specs(description), inputs["manifest"], run, context.progress
    )
    return calibration, {name: item.ranges() for name, item in observers.items()}


def _by_paddleslim(
    params: CalibrateParams,
    inputs: Mapping[str, Path],
    models: Mapping[str, ModelProto],
    context: Context,
) -> tuple[CalibrationSet, Ranges]:
    from asrpack.measure.compare import load_arrays
    from asrpack.measure.feeds import run_on_recordings
    from asrpack.networks.families import graph_specs, layers
    from asrpack.networks.inference_files import run_layer
    from asrpack.networks.observers import LayerObservers, scale_parameters

    description = ModelDescription.read(inputs["description"])
    specs = {spec.name: spec for spec in graph_specs(description)}
    network = layers(description, load_arrays(inputs["params"]))
    if "factors" in inputs:
        factors = load_arrays(inputs["factors"])
        for graph, layer in network.items():
            own = {name: factors[name] for name in factors if name.startswith(f"{graph}/")}
            scale_parameters(layer, {name.partition("/")[2]: own[name] for name in own})
    observers = {graph: LayerObservers(network[graph], params.observer) for graph in models}
    calibration = run_on_recordings(
        description,
        tuple(specs.values()),
        inputs["manifest"],
        lambda graph, feed: run_layer(network[graph], specs[graph], feed),
        context.progress,
        **({"most": _FEW} if params.observer in _SEARCHING else {}),
    )
    return calibration, {
        graph: _by_tensor(model, observers[graph].ranges(), f"{graph}.onnx")
        for graph, model in models.items()
    }


def _by_tensor(
    model: ModelProto, by_weight: Mapping[tuple[str, str], tuple[float, float]], place: str
) -> dict[str, tuple[float, float]]:
    """The ranges of a network's layers as those of the graph's tensors."""
    from asrpack.graph.quantization.operators import operator_kinds

    kinds = operator_kinds(model)
    found: dict[str, tuple[float, float]] = {}
    for node in model.graph.node:
        if kinds.get(node.name, "attention") == "attention":
            continue
        sides = [("input", node.input[0])]
        if node.op_type == "Conv":
            sides.append(("output", node.output[0]))
        for side, tensor in sides:
            seen = by_weight.get((node.input[1], side))
            if seen is None:
                raise ToolchainError(
                    f"PaddleSlim's observer saw nothing of the layer {node.input[1]}",
                    code="observer-names",
                    place=place,
                    remedy="choose one of ONNX Runtime's observers: minmax, entropy, percentile",
                )
            lowest, highest = found.get(tensor, seen)
            found[tensor] = (min(lowest, seen[0]), max(highest, seen[1]))
    return found
