"""Transformer encoder blocks, traceable; after PaddleSpeech 1.5.0's ``encoder_layer.py``."""

from __future__ import annotations

import paddle
from paddle import nn

from asrpack.networks.attention import SelfAttention
from asrpack.networks.encoder_spec import TransformerEncoderSpec
from asrpack.networks.history import History
from asrpack.networks.modules import FeedForward, layer_norm


class TransformerBlock(nn.Layer):
    """Self-attention and feed-forward, each with a residual."""

    def __init__(self, spec: TransformerEncoderSpec) -> None:
        super().__init__()
        size = spec.output_size
        self.normalize_before = spec.normalize_before
        self.concat_after = spec.concat_after
        self.self_attn = SelfAttention(spec.attention_heads, size)
        self.feed_forward = FeedForward(size, spec.linear_units, "relu")
        self.norm1 = layer_norm(size)
        self.norm2 = layer_norm(size)
        self.concat_linear = nn.Linear(in_features=2 * size, out_features=size)

    def forward(
        self,
        x: paddle.Tensor,
        positions: paddle.Tensor | None,
        bias: paddle.Tensor,
        valid: paddle.Tensor,
        history: History | None = None,
    ) -> paddle.Tensor:
        """One block over (B, T, size).

        Args:
            x: (B, T, size).
            positions: without effect; here and in ``valid`` as a conformer's block takes them.
            bias: added to attention scores (B, 1, 1 or T, C + T).
            valid: without effect.
            history: of C frames, where the encoder streams.
        """
        y = self.norm1(x) if self.normalize_before else x
        seen = self.self_attn(y, positions, bias, history)
        if self.concat_after:
            seen = self.concat_linear(paddle.concat([y, seen], axis=-1))
        x = x + seen
        x = x if self.normalize_before else self.norm1(x)

        y = self.norm2(x) if self.normalize_before else x
        x = x + self.feed_forward(y)
        return x if self.normalize_before else self.norm2(x)
