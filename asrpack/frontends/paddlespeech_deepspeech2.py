"""Reads a PaddleSpeech DeepSpeech2 model directory, online or offline.

The same files as a U2 model's (:mod:`asrpack.frontends.paddlespeech_u2`). Nothing here imports
Paddle or PaddleSpeech. Every field of the network is accounted for, and every parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asrpack.bundle.model import Cmvn, DecodeDefaults, FbankSpec, ModelDescription, Streaming
from asrpack.errors import InputError
from asrpack.frontends.model_directory import CONFIG, find_checkpoint, require_config
from asrpack.frontends.paddlespeech_config import Document, Section
from asrpack.frontends.paddlespeech_features import read_front_end
from asrpack.frontends.paddlespeech_parameters import check_parameters
from asrpack.frontends.paddlespeech_vocabulary import read_vocabulary
from asrpack.frontends.pdparams import read_pdparams
from asrpack.frontends.problems import Problems
from asrpack.frontends.recognised import Recognised
from asrpack.networks import deepspeech2_graphs
from asrpack.networks.deepspeech2_spec import (
    BIDIRECTIONAL,
    FORWARD,
    SUBSAMPLING,
    CtcBeamSearch,
    DeepSpeech2Spec,
    aliases,
    expected_parameters,
)

FAMILY = "paddlespeech_deepspeech2"
DIRECTIONS = {"forward": FORWARD, "bidirect": BIDIRECTIONAL, "bidirectional": BIDIRECTIONAL}
# PaddleSpeech's names of them, with asrpack's.
DECODING_METHODS = {"ctc_beam_search": "ctc_prefix_beam_search", "ctc_greedy": "ctc_greedy_search"}
_TRAINED = "set it to what the model was trained with"


def describes(config: Mapping[str, Any]) -> bool:
    """Whether a ``model.yaml`` is that of a DeepSpeech2 model."""
    return "num_rnn_layers" in config or "rnn_layer_size" in config


def recognise(path: Path, checkpoint: str | None = None) -> Recognised:
    """Says whether a directory holds a model that :func:`read` can read, from its names only.

    Args:
        path: the directory, as PaddleSpeech unpacks a model.
        checkpoint: see :func:`asrpack.frontends.model_directory.find_checkpoint`.

    Raises:
        InputError: not such a directory; the message says what it looks like instead.
    """
    config = Document.read(require_config(path))
    _require_deepspeech2(config)
    weights = find_checkpoint(path, checkpoint)
    return Recognised(
        family=FAMILY,
        reason=f"{CONFIG} has recurrent layers of DeepSpeech2, and {weights.relative_to(path)} "
        "their weights",
        files=config.with_named(weights),
        checkpoint=weights,
        streams=config.values.get("rnn_direction") == FORWARD,
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
        The description, and every parameter once, by the first of PaddleSpeech's names; float32.

    Raises:
        InputError, ErrorGroup: all that is wrong, with file, line and column where there is one.
    """
    config = Document.read(require_config(path))
    _require_deepspeech2(config)
    problems = Problems()
    spec: DeepSpeech2Spec | None = None
    parameters: dict[str, np.ndarray] = {}
    front_end: tuple[FbankSpec, Cmvn | None] | None = None
    tokens: tuple[str, ...] = ()
    method, search = "", CtcBeamSearch()
    chunks: Streaming | None = None
    with problems.gather():
        spec = read_spec(config)
    with problems.gather():
        method, search = _decode(config)
    with problems.gather():
        _require_characters(config)
    if spec is not None:
        with problems.gather():
            tokens = read_vocabulary(config, spec.vocab_size)
        with problems.gather():
            front_end = read_front_end(config, spec.input_dim)
        with problems.gather():
            chunks = _read_streaming(config, spec) if streaming else None
    with problems.gather():
        weights = find_checkpoint(path, checkpoint)
        parameters = read_pdparams(weights)
        if spec is not None:
            parameters = _once(parameters, spec, weights)
    problems.raise_if_any()
    assert spec is not None and front_end is not None
    fbank, cmvn = front_end
    description = ModelDescription(
        family=FAMILY,
        front_end=fbank,
        cmvn=cmvn,
        tokens=tokens,
        graphs=("encoder",),
        subsampling=SUBSAMPLING.factor,
        right_context=SUBSAMPLING.right_context,
        max_frames=None,
        streaming=chunks,
        decode=DecodeDefaults(method=method, beam_size=search.beam_size),
        blank_id=0,
        # The vocabulary has an <eos>, but PaddleSpeech's CTC decoders print it like any unit.
        # No hypothesis has a blank in it, so none is cut short.
        sos_id=0,
        eos_id=0,
        network=replace(spec, search=search).to_dict(),
    )
    return description, {name: parameters[name] for name in sorted(parameters)}


def read_spec(config: Document) -> DeepSpeech2Spec:
    """The network's fields, as PaddleSpeech's ``DeepSpeech2Model.from_config`` reads them.

    Raises:
        InputError, ErrorGroup: fields missing, of the wrong type or not supported.
    """
    top = Section(config, (), config.values)
    input_dim = top.integer("input_dim")
    if input_dim and SUBSAMPLING.length(input_dim) < 1:
        top.fail(
            "input_dim",
            f"input_dim {input_dim} is too small for the convolutions",
            code="config-value",
            remedy="set it to the feature bins that the model was trained with",
        )
    if top.integer("blank_id", 0, minimum=0) != 0:
        top.fail(
            "blank_id",
            "blank_id is not 0, the place of <blank> in PaddleSpeech's vocabularies",
            code="config-value",
            remedy=_TRAINED,
        )
    direction = top.choice("rnn_direction", None, tuple(DIRECTIONS), "recurrent layers that are")
    spec = DeepSpeech2Spec(
        vocab_size=top.integer("output_dim", minimum=3),
        input_dim=input_dim,
        num_rnn_layers=top.integer("num_rnn_layers"),
        rnn_layer_size=top.integer("rnn_layer_size"),
        rnn_direction=DIRECTIONS[direction],
        use_gru=top.boolean("use_gru", False),
        fc_layers_size_list=_fully_connected(top),
    )
    # Not finish(): the top level has the fields of training as well.
    top.problems.raise_if_any()
    return spec


def _fully_connected(top: Section) -> tuple[int, ...]:
    """Sizes of the first ``num_fc_layers``; what the list says past them is not used.

    Where there are none, PaddleSpeech's recipes write ``-1,``, which YAML reads as text.
    """
    count = top.integer("num_fc_layers", 0, minimum=0)
    if not count:
        return ()
    value = top.values.get("fc_layers_size_list")
    sizes = value[:count] if isinstance(value, list) else []
    if len(sizes) < count or not all(type(size) is int and size > 0 for size in sizes):
        top.fail(
            "fc_layers_size_list",
            f"fc_layers_size_list is {value!r}, not a list of {count} sizes or more",
            code="config-type",
            remedy=_TRAINED,
        )
        return ()
    return tuple(sizes)


def _decode(config: Document) -> tuple[str, CtcBeamSearch]:
    """The method, by asrpack's name, and the search that the model was tuned with.

    The language model is not part of the model's directory: PaddleSpeech downloads it apart.
    """
    section = Section(config, ("decode",), config.values.get("decode"))
    known = tuple(DECODING_METHODS)
    method = section.choice("decoding_method", known[0], known, "models to be decoded by")
    path = section.values.get("lang_model_path")
    search = CtcBeamSearch(
        lang_model_path="" if path is None else str(path),
        alpha=section.number("alpha", 0.0),
        beta=section.number("beta", 0.0),
        beam_size=section.integer("beam_size", 10),
        cutoff_prob=section.number("cutoff_prob", 1.0),
        cutoff_top_n=section.integer("cutoff_top_n", 40),
    )
    # Not finish(): the section has the options of PaddleSpeech's evaluation as well.
    section.problems.raise_if_any()
    return DECODING_METHODS[method], search


def _read_streaming(config: Document, spec: DeepSpeech2Spec) -> Streaming:
    chunks = deepspeech2_graphs.streaming(spec)
    if chunks is None:
        raise config.error(
            ("rnn_direction",),
            "the recipe asks for streaming, and this model cannot stream: its recurrent layers "
            "run backwards, too (rnn_direction)",
            code="not-streaming",
            remedy="take `streaming` out of the recipe, or choose a model that was trained to "
            "stream",
        )
    return chunks


def _require_deepspeech2(config: Document) -> None:
    if not describes(config.values):
        raise config.error(
            ("num_rnn_layers",),
            "this is not a DeepSpeech2 model: it has neither num_rnn_layers nor rnn_layer_size",
            code="unsupported-model",
            remedy="give the model.yaml that the model was published with",
        )


def _require_characters(config: Document) -> None:
    unit_type = config.values.get("unit_type")
    if unit_type != "char":
        raise config.error(
            ("unit_type",),
            f"unit_type is {unit_type!r}; PaddleSpeech's CTC decoders of DeepSpeech2 join units "
            "as characters",
            code="unsupported-units",
            remedy="choose a model of character units",
        )


def _once(
    parameters: dict[str, np.ndarray], spec: DeepSpeech2Spec, path: Path
) -> dict[str, np.ndarray]:
    """The parameters without their second names.

    Raises:
        InputError, ErrorGroup: as :func:`check_parameters`, and where one parameter is given
            two values: which of them PaddleSpeech takes hangs on the order of its names.
    """
    expected, second = expected_parameters(spec), aliases(spec)
    twice = {alias: expected[name] for alias, name in second.items()}
    check_parameters(parameters, {**expected, **twice}, path)
    for alias, name in second.items():
        if not np.array_equal(parameters[alias], parameters[name]):
            raise InputError(
                f"{alias} and {name} are one parameter, but their values differ",
                code="parameter-ambiguous",
                place=str(path),
                remedy="save the checkpoint again from the network that it is of",
            )
    return {name: parameters[name] for name in expected}
