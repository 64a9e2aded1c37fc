"""Hyper-parameters of conformer and transformer encoders, and their parameters; free of Paddle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from asrpack.networks.parameter_shapes import (
    Shapes,
    attention,
    convolution_module,
    feed_forward,
    global_cmvn,
    linear,
    norm,
    relative_attention,
    under,
)
from asrpack.networks.subsampling_spec import SUBSAMPLINGS, Subsampling, input_layer_parameters

CONFORMER_POSITIONS = ("abs_pos", "rel_pos", "rope_pos")
TRANSFORMER_POSITIONS = ("abs_pos", "rel_pos", "rope_pos", "no_pos")
CONVOLUTION_NORMS = ("batch_norm", "layer_norm")
ACTIVATIONS = (
    "elu",
    "gelu",
    "hardshrink",
    "hardswish",
    "hardtanh",
    "leakyrelu",
    "relu",
    "relu6",
    "selu",
    "swish",
    "tanh",
)


@dataclass(frozen=True)
class _BaseSpec:
    """What both kinds have; fields as PaddleSpeech's ``encoder_conf``.

    Attributes:
        static_chunk_size: frames of a chunk, where attention never sees past its own chunk; 0 for
            full context.
        global_cmvn: the network itself normalizes its input (``cmvn_file`` was set).
    """

    input_dim: int
    output_size: int
    attention_heads: int
    linear_units: int
    num_blocks: int
    input_layer: str
    pos_enc_layer_type: str
    normalize_before: bool
    concat_after: bool
    static_chunk_size: int
    global_cmvn: bool

    @property
    def subsampling(self) -> Subsampling:
        """The layers that ``input_layer`` names."""
        return SUBSAMPLINGS[self.input_layer]

    def _parameters(self, block: Shapes) -> Shapes:
        names = global_cmvn(self.input_dim) if self.global_cmvn else {}
        embed = input_layer_parameters(self.subsampling, self.input_dim, self.output_size)
        names |= under("embed", embed)
        for index in range(self.num_blocks):
            names |= under(f"encoders.{index}", block)
        return names | under("after_norm", norm(self.output_size))


@dataclass(frozen=True)
class TransformerEncoderSpec(_BaseSpec):
    """PaddleSpeech's ``TransformerEncoder``.

    Its attention knows no relative positions: of the encodings only ``abs_pos`` adds any,
    ``rel_pos`` and ``rope_pos`` only scale the input, and ``no_pos`` does neither.
    """

    # Its constructor takes none, so it is always the default of the table.
    max_len: ClassVar[int] = 5000

    @property
    def max_frames(self) -> int | None:
        """The longest output, in frames: the positional table's rows; None without a table.

        PaddleSpeech itself takes one frame less and fails with an assertion past that.
        """
        return None if self.pos_enc_layer_type == "no_pos" else self.max_len

    def parameters(self) -> Shapes:
        """Every parameter and buffer below ``encoder``."""
        size = self.output_size
        return self._parameters(
            {
                **under("self_attn", attention(size)),
                **under("feed_forward", feed_forward(size, self.linear_units)),
                **under("norm1", norm(size)),
                **under("norm2", norm(size)),
                # PaddleSpeech makes it whether concat_after is set or not.
                **under("concat_linear", linear(2 * size, size)),
            }
        )


@dataclass(frozen=True)
class ConformerSpec(_BaseSpec):
    """PaddleSpeech's ``ConformerEncoder``.

    Attributes:
        cnn_module_kernel: 0 where there is no convolution module.
        max_len: rows of the positional table.
    """

    activation_type: str
    macaron_style: bool
    cnn_module_kernel: int
    cnn_module_norm: str
    causal: bool
    max_len: int

    @property
    def max_frames(self) -> int:
        """The longest output, in frames: the positional table's rows.

        PaddleSpeech itself takes one frame less and fails with an assertion past that.
        """
        return self.max_len

    def parameters(self) -> Shapes:
        """Every parameter and buffer below ``encoder``."""
        size, kernel = self.output_size, self.cnn_module_kernel
        relative = self.pos_enc_layer_type == "rel_pos"
        heads = relative_attention(self.attention_heads, size) if relative else attention(size)
        names = under("self_attn", heads)
        norms = ["norm_ff", "norm_mha"]
        names |= under("feed_forward", feed_forward(size, self.linear_units))
        if self.macaron_style:
            norms.append("norm_ff_macaron")
            names |= under("feed_forward_macaron", feed_forward(size, self.linear_units))
        if kernel:
            norms += ["norm_conv", "norm_final"]
            names |= under("conv_module", convolution_module(size, kernel, self.cnn_module_norm))
        if self.concat_after:
            names |= under("concat_linear", linear(2 * size, size))
        for name in norms:
            names |= under(name, norm(size))
        return self._parameters(names)
