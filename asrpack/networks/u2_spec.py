"""Hyper-parameters of a U2 model, and the parameters that follow from them.

Free of Paddle, so that a frontend can hold a checkpoint against its configuration in no time.
``tests/networks/test_u2_spec.py`` holds :func:`expected_parameters` to be what the networks have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from asrpack.errors import InputError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Subsampling:
    """A stack of unpadded 2-D convolutions over time and frequency.

    Attributes:
        layers: (kernel, stride) of each convolution, the same over both axes.
        projection: name of the linear layer that follows, below ``encoder.embed``.
        right_context: input frames that the first output frame sees beyond its own.
    """

    layers: tuple[tuple[int, int], ...]
    projection: str
    right_context: int

    @property
    def factor(self) -> int:
        """Input frames for one output frame."""
        factor = 1
        for _, stride in self.layers:
            factor *= stride
        return factor

    def length(self, frames: int) -> int:
        """Output frames (or bins) for that many input ones; 0 where there are too few."""
        for kernel, stride in self.layers:
            frames = max(0, (frames - kernel) // stride + 1)
        return frames


SUBSAMPLINGS = {
    "conv2d": Subsampling(((3, 2), (3, 2)), "out.0", 6),
    "conv2d6": Subsampling(((3, 2), (5, 3)), "linear", 10),
    "conv2d8": Subsampling(((3, 2), (3, 2), (3, 2)), "linear", 14),
}
POSITIONS = ("abs_pos", "rel_pos")
CONVOLUTION_NORMS = ("batch_norm", "layer_norm")
ACTIVATIONS = ("elu", "gelu", "hardtanh", "leakyrelu", "relu", "relu6", "selu", "swish", "tanh")


@dataclass(frozen=True)
class EncoderSpec:
    """A conformer encoder; fields as PaddleSpeech's ``encoder_conf``.

    Attributes:
        global_cmvn: the network itself normalizes its input (``cmvn_file`` was set).
        cnn_module_kernel: 0 where there is no convolution module.
    """

    input_dim: int
    output_size: int
    attention_heads: int
    linear_units: int
    num_blocks: int
    input_layer: str
    pos_enc_layer_type: str
    activation_type: str
    normalize_before: bool
    concat_after: bool
    macaron_style: bool
    cnn_module_kernel: int
    cnn_module_norm: str
    causal: bool
    max_len: int
    global_cmvn: bool

    @property
    def subsampling(self) -> Subsampling:
        """The layers that ``input_layer`` names."""
        return SUBSAMPLINGS[self.input_layer]


@dataclass(frozen=True)
class DecoderSpec:
    """A transformer decoder; fields as PaddleSpeech's ``decoder_conf``.

    Attributes:
        r_num_blocks: blocks of the right-to-left decoder of a ``bitransformer``, else 0. Only
            its parameters are known here: PaddleSpeech's command line and server never run it.
    """

    attention_heads: int
    linear_units: int
    num_blocks: int
    r_num_blocks: int
    normalize_before: bool
    concat_after: bool
    max_len: int


@dataclass(frozen=True)
class U2Spec:
    """Encoder, CTC head and decoder over one vocabulary."""

    vocab_size: int
    encoder: EncoderSpec
    decoder: DecoderSpec

    def to_dict(self) -> dict[str, Any]:
        """As it is kept in ``ModelDescription.network``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> U2Spec:
        """Reads what :meth:`to_dict` gave.

        Raises:
            InputError: fields missing or unknown.
        """
        try:
            return cls(
                raw["vocab_size"], EncoderSpec(**raw["encoder"]), DecoderSpec(**raw["decoder"])
            )
        except (KeyError, TypeError) as error:
            raise InputError(
                f"the network's hyper-parameters cannot be read: {error}",
                code="model-description",
                place="model.json",
                remedy="run the import stage again with this version of asrpack",
            ) from error


def expected_parameters(spec: U2Spec) -> dict[str, Shape]:
    """Name and shape of every parameter and buffer of PaddleSpeech's ``U2Model``.

    Linear weights are (in, out), convolution weights (out, in / groups, kernel…), as Paddle
    keeps them.
    """
    return {
        **_under("encoder", _encoder(spec.encoder)),
        **_under("decoder", _decoders(spec)),
        **_under("ctc.ctc_lo", _linear(spec.encoder.output_size, spec.vocab_size)),
    }


def _encoder(spec: EncoderSpec) -> dict[str, Shape]:
    size = spec.output_size
    names: dict[str, Shape] = {}
    if spec.global_cmvn:
        names |= {"global_cmvn.mean": (spec.input_dim,), "global_cmvn.istd": (spec.input_dim,)}
    for index, (kernel, _) in enumerate(spec.subsampling.layers):
        channels = 1 if index == 0 else size
        # Activations sit between the convolutions, hence every second number.
        names[f"embed.conv.{2 * index}.weight"] = (size, channels, kernel, kernel)
        names[f"embed.conv.{2 * index}.bias"] = (size,)
    flat = size * spec.subsampling.length(spec.input_dim)
    names |= _under(f"embed.{spec.subsampling.projection}", _linear(flat, size))
    for index in range(spec.num_blocks):
        names |= _under(f"encoders.{index}", _encoder_block(spec))
    return names | _under("after_norm", _norm(size))


def _encoder_block(spec: EncoderSpec) -> dict[str, Shape]:
    size = spec.output_size
    names = _under("self_attn", _attention(size))
    if spec.pos_enc_layer_type == "rel_pos":
        bias = (spec.attention_heads, size // spec.attention_heads)
        names["self_attn.linear_pos.weight"] = (size, size)
        names |= {"self_attn.pos_bias_u": bias, "self_attn.pos_bias_v": bias}
    norms = ["norm_ff", "norm_mha"]
    names |= _under("feed_forward", _feed_forward(size, spec.linear_units))
    if spec.macaron_style:
        norms.append("norm_ff_macaron")
        names |= _under("feed_forward_macaron", _feed_forward(size, spec.linear_units))
    if spec.cnn_module_kernel:
        norms += ["norm_conv", "norm_final"]
        names |= _under("conv_module", _convolution(spec))
    if spec.concat_after:
        names |= _under("concat_linear", _linear(2 * size, size))
    for norm in norms:
        names |= _under(norm, _norm(size))
    return names


def _convolution(spec: EncoderSpec) -> dict[str, Shape]:
    size = spec.output_size
    names: dict[str, Shape] = {
        "pointwise_conv1.weight": (2 * size, size, 1),
        "pointwise_conv1.bias": (2 * size,),
        "depthwise_conv.weight": (size, 1, spec.cnn_module_kernel),
        "depthwise_conv.bias": (size,),
        "pointwise_conv2.weight": (size, size, 1),
        "pointwise_conv2.bias": (size,),
    }
    if spec.cnn_module_norm == "batch_norm":
        names |= {"norm._mean": (size,), "norm._variance": (size,)}
    return names | _under("norm", _norm(size))


def _decoders(spec: U2Spec) -> dict[str, Shape]:
    left = _decoder(spec, spec.decoder.num_blocks)
    if not spec.decoder.r_num_blocks:
        return left
    right = _decoder(spec, spec.decoder.r_num_blocks)
    return {**_under("left_decoder", left), **_under("right_decoder", right)}


def _decoder(spec: U2Spec, blocks: int) -> dict[str, Shape]:
    size, vocab_size = spec.encoder.output_size, spec.vocab_size
    names: dict[str, Shape] = {"embed.0.weight": (vocab_size, size)}
    for index in range(blocks):
        block = f"decoders.{index}"
        for attention in ("self_attn", "src_attn"):
            names |= _under(f"{block}.{attention}", _attention(size))
        names |= _under(f"{block}.feed_forward", _feed_forward(size, spec.decoder.linear_units))
        for norm in ("norm1", "norm2", "norm3"):
            names |= _under(f"{block}.{norm}", _norm(size))
        # PaddleSpeech makes these two whether concat_after is set or not.
        for linear in ("concat_linear1", "concat_linear2"):
            names |= _under(f"{block}.{linear}", _linear(2 * size, size))
    names |= _under("after_norm", _norm(size))
    return names | _under("output_layer", _linear(size, vocab_size))


def _attention(size: int) -> dict[str, Shape]:
    names: dict[str, Shape] = {}
    for linear in ("linear_q", "linear_k", "linear_v", "linear_out"):
        names |= _under(linear, _linear(size, size))
    return names


def _feed_forward(size: int, units: int) -> dict[str, Shape]:
    return {**_under("w_1", _linear(size, units)), **_under("w_2", _linear(units, size))}


def _linear(inputs: int, outputs: int) -> dict[str, Shape]:
    return {"weight": (inputs, outputs), "bias": (outputs,)}


def _norm(size: int) -> dict[str, Shape]:
    return {"weight": (size,), "bias": (size,)}


def _under(prefix: str, names: Mapping[str, Shape]) -> dict[str, Shape]:
    return {f"{prefix}.{name}": shape for name, shape in names.items()}
