"""What a model is, and the lines of a recipe's ``model`` that say so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrpack.bundle.model import DecodeDefaults, FbankSpec, ModelDescription, Streaming
from asrpack.errors import InputError
from asrpack.frontends.model_directory import CONFIG, SUPPORTED
from asrpack.frontends.other_kinds import file_kind, folder_kind
from asrpack.frontends.sources import read, read_onnx, recognise
from asrpack.recipe.model_source import FrontEnd, OnnxModel, PaddleModel

CTC_METHODS = ("ctc_greedy_search", "ctc_prefix_beam_search")
# What YAML reads as text without quotes: no number, no reserved word.
_PLAIN = re.compile(r"(?!(?:null|true|false)\Z)(?:\.{0,2}/)*[a-z_][a-z0-9._/-]*\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Sketch:
    """What a model was found to be, for its recipe.

    Attributes:
        reason: what it was recognised by, in words.
        summary: size, units and front end.
        section: the lines of ``model``, not indented.
        decode: the model's own options.
        oracle: whether PaddleSpeech can decode it, too.
        methods: those that the model can be decoded by.
        streaming: chunks as the model has them, where it can stream.
        streamed: PaddleSpeech's own command line decodes it chunk by chunk.
    """

    reason: str
    summary: str
    section: tuple[str, ...]
    decode: DecodeDefaults
    methods: tuple[str, ...]
    oracle: bool = False
    streaming: Streaming | None = None
    streamed: bool = False


def sketch(model: Path, checkpoint: str | None, shown: Callable[[Path], str]) -> Sketch:
    """Looks at a model.

    Args:
        model: a directory, or the file of a graph.
        checkpoint: which weights of a PaddleSpeech model, where there are several.
        shown: a path as the recipe has it.

    Raises:
        InputError, ErrorGroup: it is of no kind that can be built, or is damaged.
    """
    nested = model.is_dir() and any(model.glob(f"*/{CONFIG}"))
    if (model / CONFIG).is_file() or nested or not model.exists():
        return _paddlespeech(model, checkpoint, shown)
    if model.suffix == ".onnx" or (model.is_dir() and any(model.glob("*.onnx"))):
        return _onnx(model, shown)
    if model.is_dir():
        if any(model.glob("*.pdmodel")) or any(model.glob("*.pdiparams")):
            return _paddle(model, shown)
        kind = folder_kind(model)
        if kind is None:
            return _paddlespeech(model, checkpoint, shown)  # its error says what is missing
    else:
        with model.open("rb") as stream:
            kind = file_kind(model, stream.read(64))
    raise InputError(
        f"this is {kind or 'a file of no kind that is known'}",
        code="unsupported-model",
        place=str(model),
        remedy=SUPPORTED,
    )


def _paddlespeech(model: Path, checkpoint: str | None, shown: Callable[[Path], str]) -> Sketch:
    try:
        found = recognise(model, checkpoint)
    except InputError as error:
        if error.code == "checkpoint-ambiguous" and error.remedy:
            error.remedy = error.remedy.replace("set model.checkpoint to", "give --checkpoint")
        raise
    description, parameters = read(model, checkpoint, streaming=found.streams)
    section = ["source: paddlespeech", f"path: {shown(model)}"]
    if checkpoint:
        section.append(f"checkpoint: {quoted(checkpoint)}")
    weights = sum(array.size for array in parameters.values())
    summary = f"{_millions(weights)}, {_description(description)}"
    return Sketch(
        found.reason,
        summary,
        tuple(section),
        description.decode,
        description.methods,
        oracle=True,
        streaming=description.streaming,
        streamed=found.streamed,
    )


def _onnx(model: Path, shown: Callable[[Path], str]) -> Sketch:
    section = ["source: onnx", f"path: {shown(model)}"]
    plain = OnnxModel.model_validate({"source": "onnx", "path": str(model.absolute())})
    try:
        found = read_onnx(plain)
    except InputError as error:
        if error.code != "onnx-front-end":
            raise
        # Two guesses, as a graph that takes samples or features is mostly trained.
        guess: dict[str, Any] = {"waveform": {"full_scale": 1.0}}
        if "fbank" in (error.remedy or ""):
            guess = {"fbank": {"full_scale": 32768.0}}
        given = plain.model_copy(update={"front_end": FrontEnd.model_validate(guess)})
        found = read_onnx(given)
        section += [
            "# Guessed: the graph does not tell. Set it as the model was trained, or the text is",
            "# noise: full_scale is 1 or 32768.",
            f"front_end: {json.dumps(guess).replace(chr(34), '')}",
        ]
    about = found.description
    section += [
        f"# Found: scores are {found.encoder.kind}, the blank is unit {about.blank_id}, "
        f"{about.subsampling} input steps an output frame.",
        f"unit_type: {about.unit_type}   # char, word or spm",
    ]
    summary = f"{_millions(found.parameters)}, {_description(about)}"
    return Sketch(found.reason, summary, tuple(section), about.decode, about.methods)


def _paddle(model: Path, shown: Callable[[Path], str]) -> Sketch:
    from asrpack.frontends import paddle_inference

    section = ["source: paddle", f"path: {shown(model)}"]
    own = paddle_inference.own_description(model)
    given: dict[str, Any] = {"source": "paddle", "path": str(model.absolute())}
    if own is None:
        guess = {"fbank": {"num_mel_bins": 80, "full_scale": 32768.0}}
        given["front_end"] = guess
        section += [
            "# Guessed: the program does not tell. Set it as the model was trained.",
            f"front_end: {json.dumps(guess).replace(chr(34), '')}",
        ]
    found = paddle_inference.look(PaddleModel.model_validate(given))
    decode = DecodeDefaults(method="ctc_greedy_search") if own is None else own.decode
    size = sum(file.stat().st_size for file in found.files if file.suffix == ".pdiparams")
    summary = f"{size / 1e6:.1f} MB of parameters"
    if own is not None:
        summary += f", {_description(own)}"
    methods = CTC_METHODS if own is None else own.methods
    return Sketch(found.reason, summary, tuple(section), decode, methods)


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} million parameters"


def _description(description: ModelDescription) -> str:
    front_end = description.front_end
    takes = "samples"
    if isinstance(front_end, FbankSpec):
        takes = f"{front_end.num_mel_bins} filterbanks"
    return (
        f"{len(description.tokens)} units, {takes}, {description.sample_rate} Hz, "
        f"decoded by {description.decode.method}"
        + (", can stream" if description.streaming else "")
    )


def quoted(text: str) -> str:
    """A YAML scalar; JSON's strings are YAML's double-quoted ones."""
    return text if _PLAIN.match(text) else json.dumps(text, ensure_ascii=False)
