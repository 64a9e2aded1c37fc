"""Multi-head attention as PaddleSpeech's U2 models use it, traceable.

After ``paddlespeech/s2t/modules/attention.py`` 1.5.0. PaddleSpeech masks with
``masked_fill(-inf)`` and branches on shapes; here a mask is a number added to the scores,
:data:`MASKED` where nothing may be looked at, which leaves exactly 0 after the softmax in
float32 and float16.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import paddle
from paddle import nn

if TYPE_CHECKING:
    from asrpack.networks.history import History

MASKED = -1e4


def score_bias(visible: paddle.Tensor) -> paddle.Tensor:
    """0 where ``visible`` (bool, any shape) is true, :data:`MASKED` elsewhere; float32."""
    return (1.0 - visible.astype("float32")) * MASKED


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
        self, scores: paddle.Tensor, value: paddle.Tensor, bias: paddle.Tensor
    ) -> paddle.Tensor:
        """Weights ``value`` (B, heads, T2, head_size) by the softmax of the scaled scores.

        Args:
            scores: (B, heads, T1, T2), not yet scaled.
            value: (B, heads, T2, head_size).
            bias: from :func:`score_bias`, broadcast to ``scores``.

        Returns:
            (B, T1, size).
        """
        weights = nn.functional.softmax(scores / math.sqrt(self.head_size) + bias, axis=-1)
        mixed = paddle.matmul(weights, value).transpose([0, 2, 1, 3])
        return self.linear_out(mixed.reshape([0, 0, self.heads * self.head_size]))

    def forward(
        self,
        query: paddle.Tensor,
        memory: paddle.Tensor,
        bias: paddle.Tensor,
        history: History | None = None,
    ) -> paddle.Tensor:
        """Attends from ``query`` (B, T1, size) to the history and ``memory`` (B, T2, size)."""
        q = self.split(self.linear_q(query))
        k = self.split(self.linear_k(memory))
        v = self.split(self.linear_v(memory))
        if history is not None:
            k, v = history.extend(k, v)
        return self.attend(paddle.matmul(q, k, transpose_y=True), v, bias)


class RelPositionMultiHeadedAttention(MultiHeadedAttention):
    """Self-attention with the position scores of Transformer-XL (arXiv 1901.02860, 3.3).

    As in PaddleSpeech there is no relative shift: the table's row of the *key* is scored.
    """

    def __init__(self, heads: int, size: int) -> None:
        super().__init__(heads, size)
        self.linear_pos = nn.Linear(in_features=size, out_features=size, bias_attr=False)
        self.pos_bias_u = self.create_parameter(shape=[heads, self.head_size])
        self.pos_bias_v = self.create_parameter(shape=[heads, self.head_size])

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
        q = self.split(self.linear_q(x))
        k = self.split(self.linear_k(x))
        v = self.split(self.linear_v(x))
        if history is not None:
            k, v = history.extend(k, v)
        p = self.split(self.linear_pos(positions))
        content = paddle.matmul(q + self.pos_bias_u.unsqueeze(1), k, transpose_y=True)
        position = paddle.matmul(q + self.pos_bias_v.unsqueeze(1), p, transpose_y=True)
        return self.attend(content + position, v, bias)
