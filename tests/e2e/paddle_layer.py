"""A CTC network of one matrix that gives probabilities, for Paddle to trace."""

from __future__ import annotations

import paddle
from paddle import nn


class Ctc(nn.Layer):
    """Every fourth frame of filterbanks."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(80, 6)

    def forward(self, x: paddle.Tensor, n: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        scores = nn.functional.softmax(0.01 * self.project(x[:, ::4]), axis=-1)
        return scores, (n + 3) // 4
