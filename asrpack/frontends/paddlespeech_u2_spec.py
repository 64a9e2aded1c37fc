"""The hyper-parameters of a U2 model from PaddleSpeech's ``model.yaml``.

With the defaults of PaddleSpeech 1.5.0's constructors. Every field of the encoder and the decoder
is accounted for: what the constructors do not take is refused, and what they take but cannot run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from asrpack.frontends.model_directory import DEFAULT_ENCODER
from asrpack.frontends.paddlespeech_config import Document, Section
from asrpack.frontends.problems import Problems
from asrpack.networks.encoder_spec import (
    ACTIVATIONS,
    CONFORMER_POSITIONS,
    CONVOLUTION_NORMS,
    TRANSFORMER_POSITIONS,
    ConformerSpec,
    TransformerEncoderSpec,
)
from asrpack.networks.squeezeformer_spec import (
    SQUEEZEFORMER_POSITIONS,
    TIME_REDUCTIONS,
    SqueezeformerSpec,
)
from asrpack.networks.subsampling_spec import SUBSAMPLINGS
from asrpack.networks.u2_spec import DecoderSpec, EncoderSpec, U2Spec

DECODERS = ("transformer", "bitransformer")
_AS_TRAINED = "set it to what the model was trained with"


def read_spec(config: Document) -> U2Spec:
    """The hyper-parameters.

    Raises:
        InputError, ErrorGroup: fields missing, of the wrong type, unknown or not supported.
    """
    problems = Problems()
    top = Section(config, (), config.values)
    encoder = Section(config, ("encoder_conf",), config.values.get("encoder_conf"))
    decoder = Section(config, ("decoder_conf",), config.values.get("decoder_conf"))
    input_dim = top.integer("input_dim")
    vocab_size = top.integer("output_dim", minimum=3)
    encoder_type = top.choice("encoder", DEFAULT_ENCODER, tuple(_ENCODERS), "an encoder that is a")
    decoder_type = top.choice("decoder", "transformer", DECODERS, "a decoder that is a")
    global_cmvn = bool(config.values.get("cmvn_file"))
    encoder_spec = _ENCODERS[encoder_type](encoder, input_dim, global_cmvn)
    _check_size(encoder, encoder_spec)
    _check_chunks(config, encoder_spec, problems)
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


def _conformer(section: Section, input_dim: int, global_cmvn: bool) -> ConformerSpec:
    # Without effect in PaddleSpeech 1.5.0, too.
    section.skip("positionwise_conv_kernel_size", "selfattention_layer_type")
    common = _common(section, input_dim, global_cmvn, "rel_pos", CONFORMER_POSITIONS)
    kernel = section.integer("cnn_module_kernel", 15)
    causal = section.boolean("causal", False)
    if not section.boolean("use_cnn_module", True):
        kernel = 0
    else:
        _check_kernel(section, kernel, causal)
    return ConformerSpec(
        **common,
        activation_type=_activation(section),
        macaron_style=section.boolean("macaron_style", True),
        cnn_module_kernel=kernel,
        cnn_module_norm=section.choice(
            "cnn_module_norm", "batch_norm", CONVOLUTION_NORMS, "the norms"
        ),
        causal=causal,
        max_len=section.integer("max_len", 5000),
    )


def _transformer(section: Section, input_dim: int, global_cmvn: bool) -> TransformerEncoderSpec:
    return TransformerEncoderSpec(
        **_common(section, input_dim, global_cmvn, "abs_pos", TRANSFORMER_POSITIONS)
    )


def _common(
    section: Section, input_dim: int, global_cmvn: bool, position: str, positions: tuple[str, ...]
) -> dict[str, Any]:
    """The fields that conformer and transformer share; ``position`` is the default."""
    section.skip("dropout_rate", "positional_dropout_rate", "attention_dropout_rate")
    size = section.integer("output_size", 256)
    heads = _heads(section, size, "the encoder's output_size")
    return {
        "input_dim": input_dim,
        "output_size": size,
        "attention_heads": heads,
        "linear_units": section.integer("linear_units", 2048),
        "num_blocks": section.integer("num_blocks", 6),
        "input_layer": section.choice(
            "input_layer", "conv2d", tuple(SUBSAMPLINGS), "the input layers"
        ),
        "pos_enc_layer_type": _positions(section, position, positions, size, heads),
        "normalize_before": section.boolean("normalize_before", True),
        "concat_after": section.boolean("concat_after", False),
        "static_chunk_size": _static_chunk_size(section),
        "global_cmvn": global_cmvn,
    }


def _squeezeformer(section: Section, input_dim: int, global_cmvn: bool) -> SqueezeformerSpec:
    section.skip(
        "input_dropout_rate",
        "feed_forward_dropout_rate",
        "attention_dropout_rate",
        "dropout",
        "init_weights",
    )
    size = section.integer("encoder_dim", 256)
    heads = _heads(section, size, "encoder_dim")
    positions = _positions(section, "rel_pos", SQUEEZEFORMER_POSITIONS, size, heads)
    output_size = section.integer("output_size", 256)
    if positions == "abs_pos" and output_size != size:
        section.fail(
            "pos_enc_layer_type",
            f"abs_pos with an encoder_dim of {size} and an output_size of {output_size} fails in "
            "PaddleSpeech itself: it gives attention the size of the output",
            code="unsupported-model",
            remedy="mend the value: the model was not trained with these",
        )
    kernel = section.integer("cnn_module_kernel", 31)
    _check_kernel(section, kernel, section.boolean("causal", False))
    reduce_idx = _indices(section, "reduce_idx", 5)
    recover_idx = _indices(section, "recover_idx", 11)
    if reduce_idx and recover_idx and len(reduce_idx) != len(recover_idx):
        section.fail(
            "recover_idx",
            f"there are {len(recover_idx)} blocks to recover at and {len(reduce_idx)} to reduce at",
            code="config-value",
            remedy="give as many of each, or none to recover at",
        )
    spec = SqueezeformerSpec(
        input_dim=input_dim,
        encoder_dim=size,
        output_size=output_size,
        attention_heads=heads,
        num_blocks=section.integer("num_blocks", 12),
        reduce_idx=reduce_idx,
        recover_idx=recover_idx if reduce_idx else (),
        feed_forward_expansion_factor=section.integer("feed_forward_expansion_factor", 4),
        dw_stride=section.boolean("dw_stride", False),
        pos_enc_layer_type=positions,
        time_reduction_layer_type=section.choice(
            "time_reduction_layer_type", "conv1d", TIME_REDUCTIONS, "the time reductions"
        ),
        cnn_module_kernel=kernel,
        cnn_norm_type=section.choice("cnn_norm_type", "layer_norm", CONVOLUTION_NORMS, "the norms"),
        adaptive_scale=section.boolean("adaptive_scale", True),
        activation_type=_activation(section),
        normalize_before=section.boolean("normalize_before", False),
        concat_after=section.boolean("concat_after", False),
        static_chunk_size=_static_chunk_size(section),
        global_cmvn=global_cmvn,
    )
    try:
        spec.steps  # noqa: B018 (raises)
    except ValueError as error:
        section.fail("reduce_idx", str(error), code="unsupported-model", remedy=_AS_TRAINED)
        return replace(spec, reduce_idx=(), recover_idx=())
    return spec


def _indices(section: Section, name: str, default: int) -> tuple[int, ...]:
    """A block's number, an ascending list of such, or none."""
    section.skip(name)
    value = section.values.get(name, default)
    if value is None:
        return ()
    found = value if isinstance(value, list) else [value]
    if any(isinstance(item, bool) or not isinstance(item, int) or item < 0 for item in found):
        section.fail(
            name,
            f"encoder_conf.{name} is {value!r}, not the numbers of blocks",
            code="config-type",
            remedy=_AS_TRAINED,
        )
        return ()
    if found != sorted(found):
        section.fail(
            name,
            f"encoder_conf.{name} is {value!r}, which is not ascending",
            code="config-value",
            remedy=_AS_TRAINED,
        )
    return tuple(found)


def _positions(
    section: Section, default: str, supported: tuple[str, ...], size: int, heads: int
) -> str:
    found = section.choice("pos_enc_layer_type", default, supported, "the positional encodings")
    # The transformer's attention rotates nothing, whatever the field says.
    if found == "rope_pos" and "no_pos" not in supported and heads and (size // heads) % 2:
        section.fail(
            "pos_enc_layer_type",
            f"rope_pos turns pairs of channels, and heads of {size // heads} have no pairs: this "
            "fails in PaddleSpeech itself",
            code="unsupported-model",
            remedy=_AS_TRAINED,
        )
    return found


def _activation(section: Section) -> str:
    return section.choice("activation_type", "swish", ACTIVATIONS, "the activations")


def _static_chunk_size(section: Section) -> int:
    """0 for full context; dynamic chunks, where there are both, leave the choice to decoding."""
    section.skip("use_dynamic_left_chunk")
    static = section.integer("static_chunk_size", 0, minimum=0)
    return 0 if section.boolean("use_dynamic_chunk", False) else static


def _check_kernel(section: Section, kernel: int, causal: bool) -> None:
    if kernel and not causal and kernel % 2 == 0:
        section.fail(
            "cnn_module_kernel",
            f"cnn_module_kernel is {kernel}: without `causal` it must be odd",
            code="config-value",
            remedy=_AS_TRAINED,
        )


def _check_size(section: Section, spec: EncoderSpec) -> None:
    bins = spec.input_dim
    if bins and SUBSAMPLINGS[spec.input_layer].length(bins) < 1:
        section.fail(
            "input_layer",
            f"input_dim {bins} is too small for the input layer {spec.input_layer}",
            code="config-value",
            remedy="set input_dim to the feature bins that the model was trained with",
        )
    sizes = {"output_size": spec.output_size}
    if isinstance(spec, SqueezeformerSpec):
        sizes["encoder_dim"] = spec.encoder_dim
    for name, size in sizes.items():
        if size % 2:
            section.fail(
                name,
                f"{name} is {size}: positional tables have pairs of sine and cosine, so it must "
                "be even",
                code="config-value",
                remedy=_AS_TRAINED,
            )


def _check_chunks(config: Document, spec: EncoderSpec, problems: Problems) -> None:
    """With static chunks, PaddleSpeech's decoding may leave out chunks that are long past."""
    section = Section(config, ("decode",), config.values.get("decode"))
    left = section.values.get("num_decoding_left_chunks", -1)
    if spec.static_chunk_size and isinstance(left, int) and left >= 0:
        with problems.gather():
            raise config.error(
                ("decode", "num_decoding_left_chunks"),
                f"num_decoding_left_chunks is {left}; this version decodes static chunks with all "
                "chunks before them",
                code="unsupported-model",
                remedy="set it to -1, if the model was trained so",
            )


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
        attention_heads=_heads(section, size, "the encoder's output_size"),
        linear_units=section.integer("linear_units", 2048),
        num_blocks=section.integer("num_blocks", 6),
        r_num_blocks=section.integer("r_num_blocks") if bidirectional else 0,
        normalize_before=section.boolean("normalize_before", True),
        concat_after=section.boolean("concat_after", False),
        max_len=section.integer("max_len", 5000),
    )


def _heads(section: Section, size: int, what: str) -> int:
    heads = section.integer("attention_heads", 4)
    if size and heads and size % heads:
        section.fail(
            "attention_heads",
            f"{heads} attention heads do not divide {what} {size}",
            code="config-value",
            remedy="set both to what the model was trained with",
        )
    return heads


_ENCODERS: dict[str, Callable[[Section, int, bool], EncoderSpec]] = {
    "conformer": _conformer,
    "transformer": _transformer,
    "squeezeformer": _squeezeformer,
}
