"""The input layers of encoders, after PaddleSpeech 1.5.0's ``subsampling.py``."""

from __future__ import annotations

import paddle
from paddle import nn

from asrpack.networks.modules import layer_norm
from asrpack.networks.subsampling_spec import Subsampling


class ConvolutionalSubsampling(nn.Layer):
    """(B, T, input_dim) to (B, T', output_size), T' = T / 4, 6 or 8, without padding."""

    def __init__(self, subsampling: Subsampling, bins: int, size: int) -> None:
        super().__init__()
        self.layers = subsampling.layers
        stack: list[nn.Layer] = []
        for index, (kernel, stride) in enumerate(self.layers):
            channels = 1 if index == 0 else size
            convolution = nn.Conv2D(
                in_channels=channels, out_channels=size, kernel_size=kernel, stride=stride
            )
            stack += [convolution, nn.ReLU()]
        self.conv = nn.Sequential(*stack)
        self.flat = size * subsampling.length(bins)
        projection = nn.Linear(in_features=self.flat, out_features=size)
        # The factor 4 keeps its projection in a Sequential of one, 6 and 8 do not.
        if subsampling.projection == "out.0":
            self.out = nn.Sequential(projection)
        else:
            self.out = None
            self.linear = projection

    def forward(self, feats: paddle.Tensor) -> paddle.Tensor:
        """Maps (B, T, input_dim) to (B, T', output_size)."""
        x = self.conv(feats.unsqueeze(1)).transpose([0, 2, 1, 3]).reshape([0, 0, self.flat])
        return self.linear(x) if self.out is None else self.out(x)

    def lengths(self, frames: paddle.Tensor) -> paddle.Tensor:
        """Output frames that depend on valid input frames only; int64 (B,) to (B,)."""
        return subsampled_lengths(self.layers, frames)


class DepthwiseSubsampling(nn.Layer):
    """A squeezeformer's: (B, T, input_dim) to (B, T', size), T' = T / 4, without padding.

    Args:
        scale: factor of the features between convolutions and projection; PaddleSpeech's
            positional encoding sits there.
    """

    def __init__(
        self, subsampling: Subsampling, bins: int, size: int, *, depthwise: bool, scale: float
    ) -> None:
        super().__init__()
        self.layers = subsampling.layers
        self.scale = scale
        self.flat = size * subsampling.length(bins)
        self.pw_conv = nn.Conv2D(in_channels=1, out_channels=size, kernel_size=3, stride=2)
        self.dw_conv = nn.Conv2D(
            in_channels=size,
            out_channels=size,
            kernel_size=3,
            stride=2,
            groups=size if depthwise else 1,
        )
        # A Sequential of one, for the name that PaddleSpeech gives it: input_proj.0.
        self.input_proj = nn.Sequential(nn.Linear(in_features=self.flat, out_features=size))

    def forward(self, feats: paddle.Tensor) -> paddle.Tensor:
        """Maps (B, T, input_dim) to (B, T', size)."""
        x = nn.functional.relu(self.pw_conv(feats.unsqueeze(1)))
        x = nn.functional.relu(self.dw_conv(x))
        x = x.transpose([0, 2, 1, 3]).reshape([0, 0, self.flat])
        return self.input_proj(x * self.scale)

    def lengths(self, frames: paddle.Tensor) -> paddle.Tensor:
        """Output frames that depend on valid input frames only; int64 (B,) to (B,)."""
        return subsampled_lengths(self.layers, frames)


class LinearInput(nn.Layer):
    """(B, T, input_dim) to (B, T, size): no subsampling."""

    def __init__(self, bins: int, size: int) -> None:
        super().__init__()
        projection = nn.Linear(in_features=bins, out_features=size)
        self.out = nn.Sequential(projection, layer_norm(size), nn.ReLU())

    def forward(self, feats: paddle.Tensor) -> paddle.Tensor:
        """Maps (B, T, input_dim) to (B, T, size)."""
        return self.out(feats)

    def lengths(self, frames: paddle.Tensor) -> paddle.Tensor:
        """As many as go in; int64 (B,)."""
        # Paddle Inference cannot give an input of the graph back as its output.
        return paddle.clip(frames, min=0)


def input_layer(subsampling: Subsampling, bins: int, size: int) -> nn.Layer:
    """The layer that a conformer's or transformer's ``input_layer`` names."""
    if subsampling.layers:
        return ConvolutionalSubsampling(subsampling, bins, size)
    return LinearInput(bins, size)


def subsampled_lengths(layers: tuple[tuple[int, int], ...], frames: paddle.Tensor) -> paddle.Tensor:
    """Frames that leave a stack of unpadded convolutions of (kernel, stride); int64 (B,).

    PaddleSpeech subsamples the mask instead, which counts one frame more for all but the
    longest utterance of a batch: one that has seen padding. With these lengths a batch
    gives what each utterance gives alone.
    """
    for kernel, stride in layers:
        # Adding the stride first keeps the dividend positive: ONNX rounds towards zero.
        frames = paddle.clip(frames + (stride - kernel), min=0) // stride
    return frames
