"""Halving the frames of a squeezeformer, after PaddleSpeech 1.5.0's ``time_reduction.py``."""

from __future__ import annotations

import paddle
from paddle import nn

from asrpack.networks.squeezeformer_spec import TIME_REDUCTION_KERNELS, SqueezeformerSpec


class TimeReduction1D(nn.Layer):
    """Depthwise and pointwise: (B, T, size) to (B, T / 2 rounded up, size)."""

    def __init__(self, kernel: int, size: int) -> None:
        super().__init__()
        # PaddleSpeech pads kernel - 2 on both sides and then cuts off the frames in excess: what
        # is left has seen this much.
        self.padding = [kernel - 2, 1] if kernel > 1 else [0, 0]
        self.dw_conv = nn.Conv1D(
            in_channels=size, out_channels=size, kernel_size=kernel, stride=2, groups=size
        )
        self.pw_conv = nn.Conv1D(in_channels=size, out_channels=size, kernel_size=1)

    def forward(self, x: paddle.Tensor, lens: paddle.Tensor) -> paddle.Tensor:
        """Reduces ``x`` (B, T, size), zero past ``lens`` (B,)."""
        x = nn.functional.pad(
            x.transpose([0, 2, 1]), pad=self.padding, value=0.0, data_format="NCL"
        )
        return self.pw_conv(self.dw_conv(x)).transpose([0, 2, 1])


class TimeReduction2D(nn.Layer):
    """Two dense convolutions: (B, T, size) to (B, T / 2 rounded up, size)."""

    def __init__(self, kernel: int, size: int) -> None:
        super().__init__()
        # One more than PaddleSpeech, whose result lacks a frame where T is odd.
        self.padding = [0, kernel - 1]
        self.dw_conv = nn.Conv2D(
            in_channels=size, out_channels=size, kernel_size=[kernel, 1], stride=2
        )
        self.pw_conv = nn.Conv2D(in_channels=size, out_channels=size, kernel_size=1)

    def forward(self, x: paddle.Tensor, lens: paddle.Tensor) -> paddle.Tensor:
        """Reduces ``x`` (B, T, size), zero past ``lens`` (B,)."""
        x = nn.functional.pad(
            x.transpose([0, 2, 1]), pad=self.padding, value=0.0, data_format="NCL"
        )
        x = self.pw_conv(self.dw_conv(x.unsqueeze(-1))).squeeze(-1).transpose([0, 2, 1])
        # PaddleSpeech makes up for the frame that it lacks with zeros.
        steps = paddle.arange(x.shape[1], dtype="int64").unsqueeze(0)
        whole = steps < (lens // 2).unsqueeze(1)
        return x * whole.astype("float32").unsqueeze(-1)


def time_reduction(spec: SqueezeformerSpec) -> nn.Layer:
    """The layer that ``time_reduction_layer_type`` names."""
    kind = spec.time_reduction_layer_type
    layer = TimeReduction2D if kind == "conv2d" else TimeReduction1D
    return layer(TIME_REDUCTION_KERNELS[kind], spec.encoder_dim)
