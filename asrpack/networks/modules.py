"""Small layers that encoder and decoder share, after PaddleSpeech 1.5.0's ``s2t/modules``."""

from __future__ import annotations

import math

import paddle
from paddle import nn

_ACTIVATIONS = {
    "elu": nn.functional.elu,
    "gelu": nn.functional.gelu,
    "hardshrink": nn.functional.hardshrink,
    "hardswish": nn.functional.hardswish,
    "hardtanh": nn.functional.hardtanh,
    "leakyrelu": nn.functional.leaky_relu,
    "relu": nn.functional.relu,
    "relu6": nn.functional.relu6,
    "selu": nn.functional.selu,
    "swish": nn.functional.swish,
    "tanh": nn.functional.tanh,
}


def layer_norm(size: int) -> nn.LayerNorm:
    """The layer norm around sub-blocks: PaddleSpeech's epsilon is 1e-12 there."""
    return nn.LayerNorm(normalized_shape=size, epsilon=1e-12)


def activate(name: str, x: paddle.Tensor) -> paddle.Tensor:
    """Applies the activation of that name (``asrpack.networks.encoder_spec.ACTIVATIONS``)."""
    return _ACTIVATIONS[name](x)


class GlobalCmvn(nn.Layer):
    """Mean and variance normalization that the network itself does."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", paddle.zeros(shape=[size]))
        self.register_buffer("istd", paddle.ones(shape=[size]))

    def forward(self, feats: paddle.Tensor) -> paddle.Tensor:
        """Normalizes (B, T, size)."""
        return (feats - self.mean) * self.istd


def valid_frames(x: paddle.Tensor, lens: paddle.Tensor) -> paddle.Tensor:
    """Which frames of ``x`` (B, T, size) are no padding, given ``lens`` (B,): bool (B, T)."""
    return paddle.arange(x.shape[1], dtype="int64").unsqueeze(0) < lens.unsqueeze(1)


def add_adaptive_scale(layer: nn.Layer, size: int) -> None:
    """Gives a layer the scale and bias of a squeezeformer, for its input (B, T, size)."""
    layer.ada_scale = layer.create_parameter(shape=[1, 1, size])
    layer.ada_bias = layer.create_parameter(shape=[1, 1, size])


class FeedForward(nn.Layer):
    """Two linear layers with an activation between: (B, T, size) to (B, T, size).

    Args:
        scales: adaptively, before the first.
    """

    def __init__(self, size: int, units: int, activation: str, scales: bool = False) -> None:
        super().__init__()
        self.activation = activation
        self.w_1 = nn.Linear(in_features=size, out_features=units)
        self.w_2 = nn.Linear(in_features=units, out_features=size)
        self.scales = scales
        if scales:
            add_adaptive_scale(self, size)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Maps (B, T, size) to (B, T, size)."""
        if self.scales:
            x = self.ada_scale * x + self.ada_bias
        return self.w_2(activate(self.activation, self.w_1(x)))


class PositionalEncoding(nn.Layer):
    """Sinusoids, and the scaling of the input by the root of its size that goes with them.

    The table is a constant of the graph: worked out in the graph it would lose precision in
    float16, where positions past 2048 are not whole numbers any more. It ends at ``max_len``
    rows, and nothing longer can be encoded; PaddleSpeech asserts ``T < max_len``.
    """

    def __init__(self, size: int, max_len: int) -> None:
        super().__init__()
        # Operation for operation as PaddleSpeech does it, so that the floats are the same.
        position = paddle.arange(0, max_len, dtype="float32").unsqueeze(1)
        step = paddle.log(paddle.to_tensor(10000.0)) / paddle.to_tensor(float(size))
        angles = position * paddle.exp(-paddle.arange(0, size, 2, dtype="float32") * step)
        table = paddle.stack([paddle.sin(angles), paddle.cos(angles)], axis=-1)
        self.scale = math.sqrt(size)
        self.register_buffer("pe", table.reshape([1, max_len, size]), persistable=False)

    def forward(self, x: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Scales ``x`` (B, T, size); gives it and the table's first T rows (1, T, size)."""
        return x * self.scale, self.rows(x.shape[1])

    def rows(self, count: int, every: int = 1) -> paddle.Tensor:
        """``count`` rows of the table (1, count, size): the first, and ``every`` so many."""
        table = self.pe if every == 1 else self.pe[:, ::every]
        return table[:, :count]

    def at(self, index: paddle.Tensor) -> paddle.Tensor:
        """The rows (..., size) that ``index`` (...) names; past the ends those at the ends."""
        table = self.pe[0]
        return nn.functional.embedding(paddle.clip(index, 0, table.shape[0] - 1), table)
