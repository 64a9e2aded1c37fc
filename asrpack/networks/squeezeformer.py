"""Squeezeformer encoder, full context (arXiv 2206.00888; PaddleSpeech 1.5.0's ``encoder.py``).

PaddleSpeech's convolution modules add nothing to its blocks, for the reason given in
:meth:`asrpack.networks.squeezeformer_spec.SqueezeformerSpec.unused_parameters`; they are left out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import paddle
from paddle import nn

from asrpack.networks.attention import self_attention
from asrpack.networks.masks import full_context_bias
from asrpack.networks.modules import FeedForward, GlobalCmvn, PositionalEncoding, valid_frames
from asrpack.networks.squeezeformer_spec import SqueezeformerSpec
from asrpack.networks.subsampling import DepthwiseSubsampling
from asrpack.networks.subsampling_spec import SUBSAMPLINGS
from asrpack.networks.time_reduction import time_reduction


class SqueezeformerBlock(nn.Layer):
    """Attention, feed-forward, (nothing,) feed-forward, each with a residual."""

    def __init__(self, spec: SqueezeformerSpec) -> None:
        super().__init__()
        size = spec.encoder_dim
        units = size * spec.feed_forward_expansion_factor
        scales, activation = spec.adaptive_scale, spec.activation_type
        self.normalize_before = spec.normalize_before
        self.concat_after = spec.concat_after
        self.self_attn = self_attention(
            spec.pos_enc_layer_type, spec.attention_heads, size, scales=scales
        )
        self.ffn1 = FeedForward(size, units, activation, scales)
        self.ffn2 = FeedForward(size, units, activation, scales)
        self.layer_norm1 = nn.LayerNorm(normalized_shape=size)
        self.layer_norm2 = nn.LayerNorm(normalized_shape=size)
        self.layer_norm3 = nn.LayerNorm(normalized_shape=size)
        self.layer_norm4 = nn.LayerNorm(normalized_shape=size)
        if self.concat_after:
            self.concat_linear = nn.Linear(in_features=2 * size, out_features=size)

    def forward(
        self, x: paddle.Tensor, positions: paddle.Tensor, bias: paddle.Tensor
    ) -> paddle.Tensor:
        """One block over (B, T, size).

        Args:
            x: (B, T, size).
            positions: rows of the positional table (1, T, size).
            bias: added to attention scores (B, 1, 1 or T, T).
        """
        y = self.layer_norm1(x) if self.normalize_before else x
        seen = self.self_attn(y, positions, bias)
        if self.concat_after:
            seen = self.concat_linear(paddle.concat([y, seen], axis=-1))
        x = x + seen
        x = x if self.normalize_before else self.layer_norm1(x)

        y = self.layer_norm2(x) if self.normalize_before else x
        x = x + self.ffn1(y)
        x = x if self.normalize_before else self.layer_norm2(x)

        # Where the convolution module would be, its norm is left.
        x = x if self.normalize_before else self.layer_norm3(x)

        y = self.layer_norm4(x) if self.normalize_before else x
        x = x + self.ffn2(y)
        return x if self.normalize_before else self.layer_norm4(x)


class _Context(NamedTuple):
    """What blocks are given besides the states, at one frame rate."""

    lens: paddle.Tensor
    positions: paddle.Tensor
    bias: paddle.Tensor
    valid: paddle.Tensor


class SqueezeformerEncoder(nn.Layer):
    """Features to hidden states, every frame seeing the whole utterance (or whole chunks of it)."""

    def __init__(self, spec: SqueezeformerSpec) -> None:
        super().__init__()
        size = spec.encoder_dim
        self.size = size
        self.steps = spec.steps
        self.chunk_size = spec.static_chunk_size
        self.global_cmvn = GlobalCmvn(spec.input_dim) if spec.global_cmvn else nn.Identity()
        self.embed = DepthwiseSubsampling(
            SUBSAMPLINGS[spec.input_layer],
            spec.input_dim,
            size,
            depthwise=spec.dw_stride,
            scale=math.sqrt(size),
        )
        self.positions = PositionalEncoding(size, spec.max_len)
        self.preln = nn.LayerNorm(normalized_shape=size)
        self.encoders = nn.LayerList([SqueezeformerBlock(spec) for _ in range(spec.num_blocks)])
        self.time_reduction_layer = time_reduction(spec)
        self.time_recover_layer = nn.Linear(in_features=size, out_features=size)
        self.final_proj = nn.Identity()
        if spec.output_size != size:
            self.final_proj = nn.Linear(in_features=size, out_features=spec.output_size)

    def forward(
        self, feats: paddle.Tensor, feat_lens: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Encodes a padded batch.

        Args:
            feats: (B, T, input_dim) float32; what lies past ``feat_lens`` does not matter.
            feat_lens: (B,) int64.

        Returns:
            Hidden states (B, T', output_size), and their lengths (B,) int64.
        """
        x = self.preln(self.embed(self.global_cmvn(feats)))
        rate = 1
        context = self._context(x, self.embed.lengths(feat_lens), rate)
        kept: list[tuple[paddle.Tensor, _Context, int]] = []
        for index, block in enumerate(self.encoders):
            step = self.steps[index]
            if step.reduces:
                kept.append((x, context, rate))
                rate *= 2
                x = self.time_reduction_layer(x * context.valid.unsqueeze(-1), context.lens)
                context = self._context(x, (context.lens + 1) // 2, rate)
                # Changes no frame that matters. Without it Paddle Inference 3.1.1 cannot load the
                # graph where a concatenation follows: its passes mistake the axes.
                x = x * context.valid.unsqueeze(-1)
            if step.recovers is not None:
                before, context, rate = kept[step.recovers]
                x = before + self._double(x)[:, : before.shape[1]]
            x = block(x, context.positions, context.bias)
        return self.final_proj(x), context.lens

    def _double(self, x: paddle.Tensor) -> paddle.Tensor:
        """Every frame of (B, T, size) twice, projected: (B, 2 T, size)."""
        x = self.time_recover_layer(x)
        return paddle.concat([x, x], axis=-1).reshape([0, -1, self.size])

    def _context(self, x: paddle.Tensor, lens: paddle.Tensor, rate: int) -> _Context:
        frames = valid_frames(x, lens)
        return _Context(
            lens,
            self.positions.rows(x.shape[1], rate),
            full_context_bias(frames, self.chunk_size, rate),
            frames.astype("float32"),
        )
