"""Reads a PaddleSpeech U2 model directory: ``model.yaml``, vocabulary, CMVN, ``.pdparams``.

Nothing here imports Paddle or PaddleSpeech. Every field of the encoder and the decoder is
accounted for, and every parameter: one that is missing, left over or of another shape is an error.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asrpack.bundle.model import (
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
from asrpack.frontends.paddlespeech_parameters import check_parameters
from asrpack.frontends.paddlespeech_streaming import can_stream, read_streaming
from asrpack.frontends.paddlespeech_u2_spec import read_spec
from asrpack.frontends.paddlespeech_vocabulary import read_unit_type, read_vocabulary
from asrpack.frontends.pdparams import read_pdparams
from asrpack.frontends.problems import Problems
from asrpack.frontends.recognised import Recognised
from asrpack.networks.u2_spec import U2Spec, expected_parameters

FAMILY = "paddlespeech_u2"
DECODING_METHODS = (
    "ctc_greedy_search",
    "ctc_prefix_beam_search",
    "attention",
    "attention_rescoring",
)


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
        streamed=can_stream(config) and _simulates_streaming(config),
    )


def read(
    path: Path,
    checkpoint: str | None = None,
    *,
    streaming: bool = False,
    right_to_left: bool = False,
) -> tuple[ModelDescription, dict[str, np.ndarray]]:
    """Reads a model directory.

    Args:
        path: the directory, as PaddleSpeech unpacks a model.
        checkpoint: see :func:`asrpack.frontends.model_directory.find_checkpoint`.
        streaming: the encoder is to take chunks and states.
        right_to_left: the right-to-left decoder is to be a graph, too.

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
            if right_to_left and not spec.decoder.r_num_blocks:
                raise no_right_decoder(config)
    with problems.gather():
        decode = _decode(config)
    with problems.gather():
        weights = find_checkpoint(path, checkpoint)
        parameters = read_pdparams(weights)
        if spec is not None:
            check_parameters(parameters, expected_parameters(spec), weights)
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
        graphs=("encoder", "decoder", *(["right_decoder"] if right_to_left else [])),
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


def _simulates_streaming(config: Document) -> bool:
    decode = config.values.get("decode")
    return isinstance(decode, dict) and decode.get("simulate_streaming") is True


def no_right_decoder(config: Document) -> InputError:
    """The refusal of a ``reverse_weight`` for a model that reads one way only."""
    return config.error(
        ("decoder",),
        "the recipe sets decode.reverse_weight, and this model has no right-to-left decoder",
        code="no-right-decoder",
        remedy="take `reverse_weight` out of the recipe, or choose a model with a bitransformer",
    )


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
    method = section.choice(
        "decoding_method", "attention_rescoring", DECODING_METHODS, "models to be decoded by"
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
