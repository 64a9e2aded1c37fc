"""Reads a CTC graph that the recipe describes. What the graph tells need not be given."""

from __future__ import annotations

import numpy as np

from asrpack.bundle.model import FbankSpec, FrontEndSpec, WaveformSpec
from asrpack.errors import InputError
from asrpack.frontends.onnx_file import OnnxFile, Port
from asrpack.frontends.onnx_finish import finish
from asrpack.frontends.onnx_imported import Imported
from asrpack.frontends.problems import did_you_mean
from asrpack.networks.foreign import ForeignEncoder
from asrpack.recipe.model_source import OnnxDetails, OnnxModel

FAMILY = "onnx_ctc"


def read(graph: OnnxFile, model: OnnxModel) -> Imported:
    """Holds a graph against its description.

    Raises:
        InputError: the file cannot be built or run, what it does not tell is not given, or what
            is given is not so.
    """
    details = model.details()
    front_end, encoder = _interface(graph, details)
    reason = f"{graph.path.name} is a CTC graph: {encoder.features} in, {encoder.scores} out"
    return finish(FAMILY, graph, front_end, None, encoder, model, reason)


def _interface(graph: OnnxFile, details: OnnxDetails) -> tuple[FrontEndSpec, ForeignEncoder]:
    place = str(graph.path)
    wanted = details.inputs
    floats = [port for port in graph.inputs.values() if port.is_float]
    features = _choose(
        graph.inputs, wanted.features, floats, "model.inputs.features", place, "float input"
    )
    assert features is not None
    integers = [
        port
        for port in graph.inputs.values()
        if port.is_integer and len(port.dims) == 1 and port.name not in wanted.constants
    ]
    lengths = _choose(
        graph.inputs,
        wanted.lengths,
        integers,
        "model.inputs.lengths",
        place,
        "whole-number input of one axis",
        required=False,
    )
    taken = {features.name, lengths.name if lengths else "", *wanted.constants}
    for name in wanted.constants:
        if name not in graph.inputs:
            raise _unknown(name, graph.inputs, "model.inputs.constants", place, "input")
    if rest := [name for name in graph.inputs if name not in taken]:
        raise _fault(
            f"the graph takes further inputs: {', '.join(rest)}",
            place,
            f"give each a number under model.inputs.constants, e.g. `{rest[0]}: 0`; a graph that "
            "takes caches is for streaming, and this version imports whole-utterance graphs",
        )
    triples = [port for port in graph.outputs.values() if len(port.dims) == 3 and port.is_float]
    scores = _choose(
        graph.outputs,
        details.outputs.scores,
        triples,
        "model.outputs.scores",
        place,
        "float output of three axes",
    )
    assert scores is not None
    whole = [port for port in graph.outputs.values() if port.is_integer and len(port.dims) <= 1]
    out_lengths = _choose(
        graph.outputs,
        details.outputs.lengths,
        whole,
        "model.outputs.lengths",
        place,
        "whole-number output",
        required=False,
    )
    front_end, axes = _front_end(features, details, place)
    constants = {
        name: np.full([dim or 1 for dim in graph.inputs[name].dims], value).tolist()
        for name, value in wanted.constants.items()
    }
    return front_end, ForeignEncoder(
        features=features.name,
        features_axes=axes,
        lengths=lengths.name if lengths else None,
        scores=scores.name,
        out_lengths=out_lengths.name if out_lengths else None,
        constants=constants,
    )


def _front_end(port: Port, details: OnnxDetails, place: str) -> tuple[FrontEndSpec, str]:
    """The front end, and the order of axes in the input that takes it."""
    shape = f"{port.name} {tuple('?' if dim is None else dim for dim in port.dims)}"
    samples = len(port.dims) == 2 or (len(port.dims) == 3 and port.dims[1] == 1)
    given = details.front_end
    if given is None:
        example = "{waveform: {full_scale: 1}}" if samples else "{fbank: {full_scale: 32768}}"
        raise InputError(
            f"the graph does not tell its front end: it takes {shape}",
            code="onnx-front-end",
            place=place,
            remedy=f"give model.front_end as the model was trained, e.g. `front_end: {example}`",
        )
    if given.waveform is not None:
        if not samples:
            raise _fault(
                f"the recipe says that the graph takes samples, and it takes {shape}",
                place,
                "set model.front_end to the filterbank that the model was trained with",
            )
        return WaveformSpec(**given.waveform.model_dump()), "BT" if len(port.dims) == 2 else "B1T"
    fbank = given.fbank
    assert fbank is not None  # exactly one of the two
    if len(port.dims) != 3:
        raise _fault(
            f"the recipe says that the graph takes filterbanks, and it takes {shape}",
            place,
            "set `front_end: {waveform: {full_scale: 1}}`, or 32768 for the int16 scale",
        )
    bins = [port.dims[2], port.dims[1]]
    wanted = None if fbank.num_mel_bins is None else fbank.num_mel_bins * fbank.stack
    known = [size for size in bins if size is not None]
    dim = wanted if wanted is not None else (known[0] if known else None)
    if dim is None or dim % fbank.stack:
        raise _fault(
            f"the graph does not tell how many filterbanks it takes: {shape}",
            place,
            "set model.front_end.fbank.num_mel_bins",
        )
    if known and dim not in known:
        raise _fault(
            f"the recipe's front end gives {dim} numbers a frame, and the graph takes {shape}",
            place,
            "set num_mel_bins (and stack) in model.front_end.fbank to what it was trained with",
        )
    axes = "BDT" if bins[0] != dim and bins[1] == dim else "BTD"
    options = fbank.model_dump() | {"num_mel_bins": dim // fbank.stack}
    return FbankSpec(**options), axes


def _choose(
    ports: dict[str, Port],
    name: str | None,
    candidates: list[Port],
    key: str,
    place: str,
    what: str,
    *,
    required: bool = True,
) -> Port | None:
    """The port that the recipe names, or the only one that it can be."""
    kind = "output" if "output" in key else "input"
    if name is not None:
        if name not in ports:
            raise _unknown(name, ports, key, place, kind)
        return ports[name]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates and not required:
        return None
    names = ", ".join(port.name for port in candidates)
    raise _fault(
        f"more than one {kind} may be it: {names}"
        if names
        else f"the graph has no {what}; its {kind}s are {', '.join(ports)}",
        place,
        f"set {key} to the name of the one to use",
    )


def _unknown(name: str, ports: dict[str, Port], key: str, place: str, kind: str) -> InputError:
    return _fault(
        f"the graph has no {kind} {name!r}" + did_you_mean(name, ports),
        place,
        f"set {key} to one of: {', '.join(ports)}",
    )


def _fault(message: str, place: str, remedy: str) -> InputError:
    return InputError(message, code="onnx-interface", place=place, remedy=remedy)
