"""Reads WeNet's exported ONNX, used whole-utterance: the layouts of its two export scripts.

``export_onnx_gpu.py``: ``encoder.onnx`` with CTC scores inside; its ``decoder.onnx`` scores a
fixed number of hypotheses and gives the best one's index only, so these models decode by CTC.
``export_onnx_cpu.py``: ``encoder.onnx`` (chunk and caches), ``ctc.onnx``, ``decoder.onnx``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asrpack.bundle.model import FbankSpec
from asrpack.errors import InputError
from asrpack.frontends.onnx_file import OnnxFile, open_onnx, open_original
from asrpack.frontends.onnx_finish import finish
from asrpack.frontends.onnx_imported import Imported
from asrpack.frontends.onnx_sherpa import FLOAT_EPSILON
from asrpack.networks.foreign import ForeignEncoder
from asrpack.recipe.model_source import OnnxModel

FAMILY = "wenet_onnx"
GPU_INPUTS = {"speech", "speech_lengths"}
CPU_INPUTS = {"chunk", "att_cache", "cnn_cache"}


def is_wenet(graph: OnnxFile) -> bool:
    """Whether a graph is the encoder of one of the two layouts."""
    return _is_gpu(graph) or _is_cpu(graph)


def _is_gpu(graph: OnnxFile) -> bool:
    outputs = {"encoder_out", "encoder_out_lens", "ctc_log_probs"}
    return set(graph.inputs) >= GPU_INPUTS and set(graph.outputs) >= outputs


def _is_cpu(graph: OnnxFile) -> bool:
    return set(graph.inputs) >= CPU_INPUTS and "output" in graph.outputs


def read(graph: OnnxFile, model: OnnxModel) -> Imported:
    """Reads an export.

    Args:
        graph: ``encoder.onnx``.

    Raises:
        InputError: a file is missing, or the export is for chunks of limited history only.
    """
    if _is_gpu(graph):
        spec = _front_end(graph, "speech")
        encoder = ForeignEncoder(
            "speech",
            "BTD",
            "speech_lengths",
            "ctc_log_probs",
            out_lengths="encoder_out_lens",
        )
        reason = f"{graph.path.name} has the inputs and outputs of WeNet's export_onnx_gpu.py"
        return finish(FAMILY, graph, spec, None, encoder, model, reason)
    return _cpu(graph, model)


def _cpu(graph: OnnxFile, model: OnnxModel) -> Imported:
    numbers = {
        key: _number(graph, key)
        for key in ("left_chunks", "num_blocks", "head", "output_size", "cnn_module_kernel")
    }
    if numbers["left_chunks"] > 0:
        raise InputError(
            f"the graph was exported for chunks with {numbers['left_chunks']} chunks of history",
            code="unsupported-model",
            place=str(graph.path),
            remedy="export it with --chunk_size -1 --num_decoding_left_chunks -1, for whole "
            "utterances",
        )
    folder = graph.path.parent
    ctc = open_onnx(folder / "ctc.onnx")
    size = numbers["output_size"]
    blocks, head = numbers["num_blocks"], numbers["head"]
    kernel = numbers["cnn_module_kernel"]
    constants: dict[str, Any] = {
        "offset": 0,
        "required_cache_size": -1 if numbers["left_chunks"] < 0 else 0,
        "att_cache": {"zeros": [blocks, head, 0, size // head * 2]},
        "cnn_cache": {"zeros": [blocks, 1, size, kernel - 1]},
        "att_mask": {"zeros": [0, 0, 0]},
    }
    # Exporting drops the inputs that the mode does not use.
    constants = {name: value for name, value in constants.items() if name in graph.inputs}
    encoder = ForeignEncoder(
        "chunk", "BTD", None, "ctc.probs", encoder_out="output", constants=constants
    )
    others = {"ctc": ctc}
    if (folder / "decoder.onnx").is_file():
        others["decoder"] = open_onnx(folder / "decoder.onnx")
    else:
        encoder = ForeignEncoder("chunk", "BTD", None, "ctc.probs", constants=constants)
    return finish(
        FAMILY,
        graph,
        _front_end(graph, "chunk"),
        None,
        encoder,
        model,
        f"{graph.path.name} and ctc.onnx are of WeNet's export_onnx_cpu.py",
        decoder_size=size if "decoder" in others else None,
        files=others,
        session=_Two(graph.path, ctc.path),
    )


class _Two:
    """Encoder and CTC of a CPU export as if they were one session."""

    def __init__(self, encoder: Path, ctc: Path) -> None:
        self._encoder, self._ctc = open_original(encoder), open_original(ctc)

    def get_inputs(self) -> Any:
        return self._encoder.get_inputs()

    def get_outputs(self) -> Any:
        return [_Named("output"), _Named("ctc.probs")]

    def run(self, names: list[str], feed: dict[str, Any]) -> list[Any]:
        hidden = self._encoder.run(["output"], feed)[0]
        return [hidden, self._ctc.run(None, {self._ctc.get_inputs()[0].name: hidden})[0]]


class _Named:
    def __init__(self, name: str) -> None:
        self.name = name


def _front_end(graph: OnnxFile, name: str) -> FbankSpec:
    """WeNet's ``compute_fbank``: Kaldi's defaults on the int16 scale; CMVN is in the graph."""
    return FbankSpec(num_mel_bins=graph.inputs[name].dims[2] or 80, log_floor=FLOAT_EPSILON)


def _number(graph: OnnxFile, key: str) -> int:
    try:
        return int(graph.metadata[key])
    except (KeyError, ValueError):
        raise InputError(
            f"the metadata {key!r} is missing or malformed: {graph.metadata.get(key)!r}",
            code="onnx-metadata",
            place=str(graph.path),
            remedy="export the model again with WeNet's export_onnx_cpu.py",
        ) from None
