"""Reads a PaddleSpeech U2 model directory: ``model.yaml``, vocabulary, CMVN, ``.pdparams``.

Nothing here imports Paddle or PaddleSpeech. Every field of the encoder and the decoder is
accounted for, and every parameter: one that is missing, left over or of another shape is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from asrpack.bundle.model import (
    DECODE_METHODS,
    Cmvn,
    DecodeDefaults,
    FbankSpec,
    ModelDescription,
    Streaming,
)
from asrpack.errors import InputError
from asrpack.frontends.model_directory import (
    CONFIG,
    DEFAULT_ENCODER,
    SUPPORTED,
    find_checkpoint,
    require_config,
    unsupported_kind,
)
from asrpack.frontends.paddlespeech_config import Document, Section
from asrpack.frontends.paddlespeech_features import read_front_end
from asrpack.frontends.paddlespeech_streaming import can_stream, read_streaming
from asrpack.frontends.paddlespeech_u2_spec import read_spec
from asrpack.frontends.paddlespeech_vocabulary import read_unit_type, read_vocabulary
from asrpack.frontends.pdparams import read_pdparams
from asrpack.frontends.problems import Problems, did_you_mean
from asrpack.frontends.recognised import Recognised
from asrpack.networks.u2_spec import U2Spec, expected_parameters

FAMILY = "paddlespeech_u2"
# How many parameters an error names: enough to see the pattern, few enough to read.
_NAMES_SHOWN = 8


def recognise(path: Path, checkpoint: str | None = None) -> Recognised:
    """Says whether a directory holds a model that :func:`read` can read, from its names only.

    Args:
        path: the directory, as PaddleSpeech unpacks a model.
        checkpoint: see :func:`asrpack.frontends.model_directory.find_checkpoint`.

    Raises:
        InputError: not such a directory; the message says what it looks like instead.
    """
    config = Document.read(require_config(path))
    _require_u2(config)
    weights = find_checkpoint(path, checkpoint)
    encoder = config.values.get("encoder", DEFAULT_ENCODER)
    beside = []
    for keys in (("vocab_filepath",), ("preprocess_config",)):
        value = config.values.get(keys[0])
        if isinstance(value, str) and (path / value).is_file():
            beside.append(path / value)
    return Recognised(
        family=FAMILY,
        reason=f"{CONFIG} has a {encoder} encoder, and {weights.relative_to(path)} its weights",
        files=(config.path, *beside, weights),
        checkpoint=weights,
        streams=can_stream(config),
    )


def read(
    path: Path, checkpoint: str | None = None, *, streaming: bool = False
) -> tuple[ModelDescription, dict[str, np.ndarray]]:
    """Reads a model directory.

    Args:
        path: the directory, as PaddleSpeech unpacks a model.
        checkpoint: see :func:`asrpack.frontends.model_directory.find_checkpoint`.
        streaming: the encoder is to take chunks and states.

    Returns:
        The description, and every parameter by PaddleSpeech's name, float32.

    Raises:
        InputError, ErrorGroup: all that is wrong, with file, line and column where there is one.
    """
    config = Document.read(require_config(path))
    _require_u2(config)
    problems = Problems()
    spec: U2Spec | None = None
    parameters: dict[str, np.ndarray] = {}
    front_end: tuple[FbankSpec, Cmvn | None] | None = None
    tokens: tuple[str, ...] = ()
    unit_type = ""
    decode = DecodeDefaults()
    chunks: Streaming | None = None
    with problems.gather():
        spec = read_spec(config)
    with problems.gather():
        unit_type = read_unit_type(config)
    if spec is not None:
        with problems.gather():
            tokens = read_vocabulary(config, spec.vocab_size)
        with problems.gather():
            front_end = read_front_end(config, spec.encoder.input_dim)
        with problems.gather():
            chunks = read_streaming(config, spec) if streaming else None
    with problems.gather():
        decode = _decode(config)
    with problems.gather():
        weights = find_checkpoint(path, checkpoint)
        parameters = read_pdparams(weights)
        if spec is not None:
            _check_parameters(parameters, spec, weights)
    problems.raise_if_any()
    assert spec is not None and front_end is not None
    fbank, cmvn = front_end
    subsampling = spec.encoder.subsampling
    last = spec.vocab_size - 1
    description = ModelDescription(
        family=FAMILY,
        front_end=fbank,
        cmvn=cmvn,
        tokens=tokens,
        unit_type=unit_type,
        graphs=("encoder", "decoder"),
        subsampling=subsampling.factor,
        right_context=subsampling.right_context,
        max_frames=spec.encoder.max_frames,
        streaming=chunks,
        decode=decode,
        blank_id=0,
        sos_id=last,
        eos_id=last,
        network=spec.to_dict(),
    )
    return description, {name: parameters[name] for name in sorted(parameters)}


def _require_u2(config: Document) -> None:
    kind = unsupported_kind(config.values)
    if kind is not None:
        raise config.error(
            ("encoder",),
            f"this is {kind}",
            code="unsupported-model",
            remedy=SUPPORTED,
        )


def _decode(config: Document) -> DecodeDefaults:
    section = Section(config, ("decode",), config.values.get("decode"))
    known = (*DECODE_METHODS, "attention")
    method = section.choice(
        "decoding_method", "attention_rescoring", known, "models to be decoded by"
    )
    defaults = DecodeDefaults(
        # PaddleSpeech's own command line does not read this field and rescores; `attention`
        # is what its recipes' evaluation starts with.
        method="attention_rescoring" if method == "attention" else method,
        beam_size=section.integer("beam_size", 10),
        ctc_weight=section.number("ctc_weight", 0.5),
    )
    # Not finish(): the section has the options of other decoders and of streaming as well.
    section.problems.raise_if_any()
    return defaults


def _check_parameters(parameters: Mapping[str, np.ndarray], spec: U2Spec, path: Path) -> None:
    """Holds the checkpoint against the configuration, name by name.

    Raises:
        InputError, ErrorGroup: names missing, left over, shapes that differ, NaN or infinity.
    """
    expected = expected_parameters(spec)
    missing = [name for name in expected if name not in parameters]
    extra = [name for name in parameters if name not in expected]
    problems = Problems()

    def report(code: str, what: str, items: list[str], remedy: str) -> None:
        if items:
            shown = items[:_NAMES_SHOWN]
            rest = f" and {len(items) - len(shown)} more" if len(items) > len(shown) else ""
            problems.errors.append(
                InputError(
                    f"{what} ({len(items)}): {', '.join(shown)}{rest}",
                    code=code,
                    place=str(path),
                    remedy=remedy,
                )
            )

    fits = "give the model.yaml and the checkpoint of the same training"
    report(
        "parameter-missing",
        "parameters of the network missing from the checkpoint",
        [name + did_you_mean(name, extra) for name in missing],
        fits,
    )
    report(
        "parameter-extra",
        "parameters of the checkpoint that the network of model.yaml does not have",
        [name + did_you_mean(name, missing) for name in extra],
        fits,
    )
    shared = [name for name in expected if name in parameters]
    report(
        "parameter-shape",
        "parameters of another shape than model.yaml gives",
        [
            f"{name} is {_shape(parameters[name].shape)}, not {_shape(expected[name])}"
            for name in shared
            if parameters[name].shape != expected[name]
        ],
        fits,
    )
    report(
        "parameter-not-finite",
        "parameters that hold NaN or infinity",
        [name for name in shared if not np.isfinite(parameters[name]).all()],
        "choose a checkpoint from before the training diverged",
    )
    problems.raise_if_any()


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"
