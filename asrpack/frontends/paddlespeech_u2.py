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
    SUPPORTED,
    find_checkpoint,
    require_config,
    unsupported_kind,
)
from asrpack.frontends.paddlespeech_config import Document, Section
from asrpack.frontends.paddlespeech_features import read_front_end
from asrpack.frontends.paddlespeech_streaming import can_stream, read_streaming
from asrpack.frontends.paddlespeech_vocabulary import read_unit_type, read_vocabulary
from asrpack.frontends.pdparams import read_pdparams
from asrpack.frontends.problems import Problems, did_you_mean
from asrpack.frontends.recognised import Recognised
from asrpack.networks.u2_spec import (
    ACTIVATIONS,
    CONVOLUTION_NORMS,
    POSITIONS,
    SUBSAMPLINGS,
    DecoderSpec,
    EncoderSpec,
    U2Spec,
    expected_parameters,
)

FAMILY = "paddlespeech_u2"
# Of the second, PaddleSpeech's command line and server use the left-to-right half only.
DECODERS = ("transformer", "bitransformer")
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
    beside = []
    for keys in (("vocab_filepath",), ("preprocess_config",)):
        value = config.values.get(keys[0])
        if isinstance(value, str) and (path / value).is_file():
            beside.append(path / value)
    return Recognised(
        family=FAMILY,
        reason=f"{CONFIG} has a conformer encoder, and {weights.relative_to(path)} its weights",
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
        max_frames=spec.encoder.max_len,
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


def read_spec(config: Document) -> U2Spec:
    """The hyper-parameters, with the defaults of PaddleSpeech's constructors.

    Raises:
        InputError, ErrorGroup: fields missing, of the wrong type, unknown or not supported.
    """
    problems = Problems()
    top = Section(config, (), config.values)
    encoder = Section(config, ("encoder_conf",), config.values.get("encoder_conf"))
    decoder = Section(config, ("decoder_conf",), config.values.get("decoder_conf"))
    input_dim = top.integer("input_dim")
    vocab_size = top.integer("output_dim", minimum=3)
    decoder_type = top.choice("decoder", "transformer", DECODERS, "a decoder that is a")
    encoder_spec = _encoder(encoder, input_dim, bool(config.values.get("cmvn_file")))
    bidirectional = decoder_type == "bitransformer"
    decoder_spec = _decoder(decoder, encoder_spec.output_size, bidirectional)
    with problems.gather():
        # Not finish(): the top level has the fields of training as well.
        top.problems.raise_if_any()
    for section in (encoder, decoder):
        with problems.gather():
            section.finish()
    problems.raise_if_any()
    return U2Spec(vocab_size, encoder_spec, decoder_spec)


def _encoder(section: Section, input_dim: int, global_cmvn: bool) -> EncoderSpec:
    section.skip(
        "dropout_rate",
        "positional_dropout_rate",
        "attention_dropout_rate",
        "use_dynamic_left_chunk",
        # Without effect in PaddleSpeech 1.5.0, too.
        "positionwise_conv_kernel_size",
        "selfattention_layer_type",
    )
    size = section.integer("output_size", 256)
    kernel = section.integer("cnn_module_kernel", 15)
    causal = section.boolean("causal", False)
    if not section.boolean("use_cnn_module", True):
        kernel = 0
    elif kernel and not causal and kernel % 2 == 0:
        section.fail(
            "cnn_module_kernel",
            f"cnn_module_kernel is {kernel}: without `causal` it must be odd",
            code="config-value",
            remedy="set it to what the model was trained with",
        )
    # Static chunks mask the encoder whatever the decoding asks for; dynamic ones do not.
    static = section.integer("static_chunk_size", 0, minimum=0)
    if static > 0 and not section.boolean("use_dynamic_chunk", False):
        section.fail(
            "static_chunk_size",
            f"static_chunk_size is {static}; this version decodes with full context, which a "
            "model trained with static chunks only does not have",
            code="unsupported-model",
            remedy="choose a model trained with use_dynamic_chunk, or without chunks",
        )
    section.skip("use_dynamic_chunk")
    spec = EncoderSpec(
        input_dim=input_dim,
        output_size=size,
        attention_heads=_heads(section, size),
        linear_units=section.integer("linear_units", 2048),
        num_blocks=section.integer("num_blocks", 6),
        input_layer=section.choice(
            "input_layer", "conv2d", tuple(SUBSAMPLINGS), "the input layers"
        ),
        pos_enc_layer_type=section.choice(
            "pos_enc_layer_type", "rel_pos", POSITIONS, "the positional encodings"
        ),
        activation_type=section.choice("activation_type", "swish", ACTIVATIONS, "the activations"),
        normalize_before=section.boolean("normalize_before", True),
        concat_after=section.boolean("concat_after", False),
        macaron_style=section.boolean("macaron_style", True),
        cnn_module_kernel=kernel,
        cnn_module_norm=section.choice(
            "cnn_module_norm", "batch_norm", CONVOLUTION_NORMS, "the norms"
        ),
        causal=causal,
        max_len=section.integer("max_len", 5000),
        global_cmvn=global_cmvn,
    )
    if input_dim and spec.subsampling.length(input_dim) < 1:
        section.fail(
            "input_layer",
            f"input_dim {input_dim} is too small for the input layer {spec.input_layer}",
            code="config-value",
            remedy="set input_dim to the feature bins that the model was trained with",
        )
    return spec


def _decoder(section: Section, size: int, bidirectional: bool) -> DecoderSpec:
    section.skip(
        "dropout_rate",
        "positional_dropout_rate",
        "self_attention_dropout_rate",
        "src_attention_dropout_rate",
        # PaddleSpeech drops it where the decoder is not bidirectional.
        "r_num_blocks",
    )
    section.choice("input_layer", "embed", ("embed",), "a decoder's input layer that is an")
    if not section.boolean("use_output_layer", True):
        section.fail(
            "use_output_layer",
            "the decoder has no output layer, so it gives no scores",
            code="unsupported-model",
            remedy="choose a model whose decoder has one",
        )
    return DecoderSpec(
        attention_heads=_heads(section, size),
        linear_units=section.integer("linear_units", 2048),
        num_blocks=section.integer("num_blocks", 6),
        r_num_blocks=section.integer("r_num_blocks") if bidirectional else 0,
        normalize_before=section.boolean("normalize_before", True),
        concat_after=section.boolean("concat_after", False),
        max_len=section.integer("max_len", 5000),
    )


def _heads(section: Section, size: int) -> int:
    heads = section.integer("attention_heads", 4)
    if size and heads and size % heads:
        section.fail(
            "attention_heads",
            f"{heads} attention heads do not divide the encoder's output_size {size}",
            code="config-value",
            remedy="set both to what the model was trained with",
        )
    return heads


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
