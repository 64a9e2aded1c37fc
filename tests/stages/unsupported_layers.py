"""Layers that paddle2onnx aborts on. In a file of their own: Paddle reads their source."""

from __future__ import annotations

import paddle


class Svd(paddle.nn.Layer):
    """An operator that it does not know."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return paddle.linalg.svd(x)[0]


class Split(paddle.nn.Layer):
    """An operator that it knows, over an axis of unknown size."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return paddle.split(x, 2, axis=1)[0]
