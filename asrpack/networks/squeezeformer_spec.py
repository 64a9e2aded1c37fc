"""Hyper-parameters of squeezeformer encoders (arXiv 2206.00888), and their parameters.

As PaddleSpeech 1.5.0's ``SqueezeformerEncoder`` has them. Free of Paddle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from asrpack.networks.parameter_shapes import (
    Shape,
    Shapes,
    adaptive_scale,
    attention,
    convolution_module,
    feed_forward,
    global_cmvn,
    linear,
    norm,
    relative_attention,
    under,
)
from asrpack.networks.subsampling_spec import SUBSAMPLINGS, Subsampling

SQUEEZEFORMER_POSITIONS = ("abs_pos", "rel_pos", "rope_pos")
TIME_REDUCTIONS = ("conv1d", "conv2d", "stream")
TIME_REDUCTION_KERNELS = {"conv1d": 5, "conv2d": 5, "stream": 1}


@dataclass(frozen=True)
class Step:
    """What happens to the frame rate before a block.

    Attributes:
        reduces: states are kept aside, then every two frames become one.
        recovers: which of the states kept aside the doubled frames are added to, counted in the
            order of keeping; None where nothing is recovered.
    """

    reduces: bool
    recovers: int | None


@dataclass(frozen=True)
class SqueezeformerSpec:
    """PaddleSpeech's ``SqueezeformerEncoder``; fields as its ``encoder_conf``.

    Attributes:
        reduce_idx: blocks before which the frame rate is halved; empty for none.
        recover_idx: blocks before which it is doubled again; empty for none.
        static_chunk_size: frames of a chunk, where attention never sees past its own chunk; 0 for
            full context.
        global_cmvn: the network itself normalizes its input (``cmvn_file`` was set).
    """

    # Neither is a field in PaddleSpeech: it leaves the table's length at its default.
    max_len: ClassVar[int] = 5000
    input_layer: ClassVar[str] = "conv2d"

    input_dim: int
    encoder_dim: int
    output_size: int
    attention_heads: int
    num_blocks: int
    reduce_idx: tuple[int, ...]
    recover_idx: tuple[int, ...]
    feed_forward_expansion_factor: int
    dw_stride: bool
    pos_enc_layer_type: str
    time_reduction_layer_type: str
    cnn_module_kernel: int
    cnn_norm_type: str
    adaptive_scale: bool
    activation_type: str
    normalize_before: bool
    concat_after: bool
    static_chunk_size: int
    global_cmvn: bool

    def __post_init__(self) -> None:
        # JSON has lists only.
        object.__setattr__(self, "reduce_idx", tuple(self.reduce_idx))
        object.__setattr__(self, "recover_idx", tuple(self.recover_idx))

    @property
    def steps(self) -> tuple[Step, ...]:
        """For each block, as PaddleSpeech counts.

        Its counter of states kept aside goes down with every recovery, but the states stay: after
        a recovery, the next reduction's states are kept behind older ones and the recovery after
        it takes the older ones.

        Raises:
            ValueError: PaddleSpeech cannot run this, or does so by accident only.
        """
        return self._plan()[0]

    @property
    def subsampling(self) -> Subsampling:
        """Of the whole encoder."""
        return replace(SUBSAMPLINGS[self.input_layer], halvings=self._plan()[1])

    @property
    def max_frames(self) -> int:
        """The longest output, in frames, as far as the positional table goes.

        PaddleSpeech itself takes one frame less and fails with an assertion past that.
        """
        rate: int = 2 ** self._plan()[1]
        return -(-self.max_len // rate)

    def _plan(self) -> tuple[tuple[Step, ...], int]:
        """The steps, and how often the frames have been halved at the end."""
        steps: list[Step] = []
        kept: list[int] = []
        halvings = counter = 0
        for block in range(self.num_blocks):
            reduces, recovers = block in self.reduce_idx, None
            if reduces:
                if self.time_reduction_layer_type == "conv2d" and counter < len(kept):
                    raise ValueError(
                        "PaddleSpeech cannot reduce by conv2d after a recovery: it takes the "
                        "frames to be halved already, and fails at every odd number of them"
                    )
                kept.append(halvings)
                halvings += 1
                counter += 1
            if block in self.recover_idx:
                counter -= 1
                if counter < 0 or halvings != kept[counter] + 1:
                    raise ValueError(f"there are no reduced frames for block {block} to recover")
                recovers, halvings = counter, kept[counter]
            steps.append(Step(reduces, recovers))
        return tuple(steps), halvings

    def parameters(self) -> Shapes:
        """Every parameter and buffer below ``encoder``."""
        size = self.encoder_dim
        names = global_cmvn(self.input_dim) if self.global_cmvn else {}
        flat = size * SUBSAMPLINGS[self.input_layer].length(self.input_dim)
        names |= under("embed.pw_conv", {"weight": (size, 1, 3, 3), "bias": (size,)})
        inputs = 1 if self.dw_stride else size
        names |= under("embed.dw_conv", {"weight": (size, inputs, 3, 3), "bias": (size,)})
        names |= under("embed.input_proj.0", linear(flat, size))
        names |= under("preln", norm(size))
        for index in range(self.num_blocks):
            names |= under(f"encoders.{index}", self._block())
        names |= under("time_reduction_layer", self._time_reduction())
        names |= under("time_recover_layer", linear(size, size))
        if self.output_size != size:
            names |= under("final_proj", linear(size, self.output_size))
        return names

    def unused_parameters(self) -> frozenset[str]:
        """Those below ``encoder`` that have no influence on what PaddleSpeech computes.

        Its squeezeformer gives the convolution module the mask of the frames where the module
        expects that of the padding, so the module zeroes all frames and each block adds zeros:
        in training and decoding, with chunks and without.
        """
        names = self.parameters()
        return frozenset(name for name in names if ".conv_module." in name)

    def _block(self) -> Shapes:
        size, scaled = self.encoder_dim, self.adaptive_scale
        relative = self.pos_enc_layer_type == "rel_pos"
        scale = adaptive_scale(size) if scaled else {}
        heads = relative_attention(self.attention_heads, size) if relative else attention(size)
        # PaddleSpeech scales adaptively in the attention with relative positions only.
        names = under("self_attn", {**heads, **(scale if relative else {})})
        units = size * self.feed_forward_expansion_factor
        for name in ("ffn1", "ffn2"):
            names |= under(name, {**feed_forward(size, units), **scale})
        convolution = convolution_module(size, self.cnn_module_kernel, self.cnn_norm_type)
        names |= under("conv_module", {**convolution, **scale})
        for index in range(1, 5):
            names |= under(f"layer_norm{index}", norm(size))
        if self.concat_after:
            names |= under("concat_linear", linear(2 * size, size))
        return names

    def _time_reduction(self) -> Shapes:
        size, kind = self.encoder_dim, self.time_reduction_layer_type
        kernel = TIME_REDUCTION_KERNELS[kind]
        first: Shape = (size, 1, kernel)
        second: Shape = (size, size, 1)
        if kind == "conv2d":
            # Not depthwise, whatever its name says.
            first, second = (size, size, kernel, 1), (size, size, 1, 1)
        return {
            **under("dw_conv", {"weight": first, "bias": (size,)}),
            **under("pw_conv", {"weight": second, "bias": (size,)}),
        }
