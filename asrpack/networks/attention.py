"""Multi-head attention as PaddleSpeech's U2 models use it, traceable.

After ``paddlespeech/s2t/modules/attention.py`` 1.5.0. What may not be looked
at is a number added to the scores (:mod:`asrpack.networks.masks`).
"""

from __future__ import annotations

import math

import paddle
from paddle import nn

from asrpack.networks.history import History
from asrpack.networks.modules import add_adaptive_scale


class MultiHeadedAttention(nn.Layer):
    """Scaled dot-product attention over ``heads`` slices of ``size`` channels."""

    def __init__(self, heads: int, size: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_size = size // heads
        self.linear_q = nn.Linear(in_features=size, out_features=size)
        self.linear_k = nn.Linear(in_features=size, out_features=size)
        self.linear_v = nn.Linear(in_features=size, out_features=size)
        self.linear_out = nn.Linear(in_features=size, out_features=size)

    def split(self, x: paddle.Tensor) -> paddle.Tensor:
        """(B, T, size) to (B, heads, T, head_size)."""
        return x.reshape([0, 0, self.heads, self.head_size]).transpose([0, 2, 1, 3])

    def attend(
        self, scores: paddle.Tensor, value: paddle.Tensor, bias: paddle.Tensor | None
    ) -> paddle.Tensor:
        """Weights ``value`` (B, heads, T2, head_size) by the softmax of the scaled scores.

        Args:
            scores: (B, heads, T1, T2), not yet scaled.
            value: (B, heads, T2, head_size).
            bias: from :func:`asrpack.networks.masks.score_bias`, broadcast to ``scores``; None
                where all may be looked at.

        Returns:
            (B, T1, size).
        """
        scores = scores / math.sqrt(self.head_size)
        weights = nn.functional.softmax(scores if bias is None else scores + bias, axis=-1)
        mixed = paddle.matmul(weights, value).transpose([0, 2, 1, 3])
        return self.linear_out(mixed.reshape([0, 0, self.heads * self.head_size]))

    def forward(
        self,
        query: paddle.Tensor,
        memory: paddle.Tensor,
        bias: paddle.Tensor | None = None,
        history: History | None = None,
    ) -> paddle.Tensor:
        """From ``query`` (B, T1, size) to the history and ``memory`` (1 or B, T2, size)."""
        q = self.split(self.linear_q(query))
        k = self.split(self.linear_k(memory))
        v = self.split(self.linear_v(memory))
        if history is not None:
            k, v = history.extend(k, v)
        return self.attend(paddle.matmul(q, k, transpose_y=True), v, bias)


class SelfAttention(MultiHeadedAttention):
    """Attention within a sequence, blind to positions."""

    def forward(  # type: ignore[override]
        self,
        x: paddle.Tensor,
        positions: paddle.Tensor | None,
        bias: paddle.Tensor,
        history: History | None = None,
    ) -> paddle.Tensor:
        """As the other kinds, without ``positions``."""
        return super().forward(x, x, bias, history)


class RelPositionMultiHeadedAttention(MultiHeadedAttention):
    """Self-attention with the position scores of Transformer-XL (arXiv 1901.02860, 3.3).

    As in PaddleSpeech there is no relative shift: the table's row of the *key* is scored.
    """

    def __init__(self, heads: int, size: int, scales: bool = False) -> None:
        super().__init__(heads, size)
        self.linear_pos = nn.Linear(in_features=size, out_features=size, bias_attr=False)
        self.pos_bias_u = self.create_parameter(shape=[heads, self.head_size])
        self.pos_bias_v = self.create_parameter(shape=[heads, self.head_size])
        self.scales = scales
        if scales:
            add_adaptive_scale(self, size)

    def forward(  # type: ignore[override]
        self,
        x: paddle.Tensor,
        positions: paddle.Tensor,
        bias: paddle.Tensor,
        history: History | None = None,
    ) -> paddle.Tensor:
        """Attends within the history and ``x`` (B, T, size).

        ``positions`` are those of all that is attended to: (1 or B, C + T, size).
        """
        if self.scales:
            x = self.ada_scale * x + self.ada_bias
        q = self.split(self.linear_q(x))
        k = self.split(self.linear_k(x))
        v = self.split(self.linear_v(x))
        if history is not None:
            k, v = history.extend(k, v)
        p = self.split(self.linear_pos(positions))
        content = paddle.matmul(q + self.pos_bias_u.unsqueeze(1), k, transpose_y=True)
        position = paddle.matmul(q + self.pos_bias_v.unsqueeze(1), p, transpose_y=True)
        return self.attend(content + position, v, bias)


class RotaryMultiHeadedAttention(MultiHeadedAttention):
    """Self-attention over rotated queries and keys (arXiv 2104.09864).

    PaddleSpeech cuts one table as wide as all heads together: no two heads turn at the same
    speeds.
    """

    def rotate(self, x: paddle.Tensor, positions: paddle.Tensor) -> paddle.Tensor:
        """Turns the pairs of channels of ``x`` (B, T, size) by ``positions`` (1 or B, T, size)."""
        pairs = [0, 0, self.heads * self.head_size // 2, 2]
        x, angles = x.reshape(pairs), positions.reshape(pairs)
        even, odd, sine, cosine = x[..., 0], x[..., 1], angles[..., 0], angles[..., 1]
        turned = paddle.stack([even * cosine - odd * sine, odd * cosine + even * sine], axis=-1)
        return turned.reshape([0, 0, self.heads * self.head_size])

    def forward(  # type: ignore[override]
        self,
        x: paddle.Tensor,
        positions: paddle.Tensor,
        bias: paddle.Tensor,
        history: History | None = None,
    ) -> paddle.Tensor:
        """Attends within the history, which has turned before, and ``x`` (B, T, size).

        ``positions`` are those of ``x``: (1 or B, T, size).
        """
        q = self.split(self.rotate(self.linear_q(x), positions))
        k = self.split(self.rotate(self.linear_k(x), positions))
        v = self.split(self.linear_v(x))
        if history is not None:
            k, v = history.extend(k, v)
        return self.attend(paddle.matmul(q, k, transpose_y=True), v, bias)


def self_attention(positions: str, heads: int, size: int, *, scales: bool = False) -> nn.Layer:
    """The self-attention that a ``pos_enc_layer_type`` asks for.

    Args:
        scales: adaptively, before anything else; PaddleSpeech does so with ``rel_pos`` only.
    """
    if positions == "rel_pos":
        return RelPositionMultiHeadedAttention(heads, size, scales)
    if positions == "rope_pos":
        return RotaryMultiHeadedAttention(heads, size)
    return SelfAttention(heads, size)
