"""Convolutional subsampling over time, after PaddleSpeech 1.5.0's ``subsampling.py``."""

from __future__ import annotations

import paddle
from paddle import nn

from asrpack.networks.u2_spec import EncoderSpec


class ConvolutionalSubsampling(nn.Layer):
    """(B, T, input_dim) to (B, T', output_size), T' = T / 4, 6 or 8, without padding."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.layers = spec.subsampling.layers
        size = spec.output_size
        stack: list[nn.Layer] = []
        for index, (kernel, stride) in enumerate(self.layers):
            channels = 1 if index == 0 else size
            convolution = nn.Conv2D(
                in_channels=channels, out_channels=size, kernel_size=kernel, stride=stride
            )
            stack += [convolution, nn.ReLU()]
        self.conv = nn.Sequential(*stack)
        self.flat = size * spec.subsampling.length(spec.input_dim)
        projection = nn.Linear(in_features=self.flat, out_features=size)
        # The factor 4 keeps its projection in a Sequential of one, 6 and 8 do not.
        if spec.subsampling.projection == "out.0":
            self.out = nn.Sequential(projection)
        else:
            self.out = None
            self.linear = projection

    def forward(self, feats: paddle.Tensor) -> paddle.Tensor:
        """Maps (B, T, input_dim) to (B, T', output_size)."""
        x = self.conv(feats.unsqueeze(1)).transpose([0, 2, 1, 3]).reshape([0, 0, self.flat])
        return self.linear(x) if self.out is None else self.out(x)

    def lengths(self, frames: paddle.Tensor) -> paddle.Tensor:
        """Output frames that depend on valid input frames only; int64 (B,) to (B,).

        PaddleSpeech subsamples the mask instead, which counts one frame more for all but the
        longest utterance of a batch: one that has seen padding. With these lengths a batch
        gives what each utterance gives alone.
        """
        return subsampled_lengths(self.layers, frames)


def subsampled_lengths(layers: tuple[tuple[int, int], ...], frames: paddle.Tensor) -> paddle.Tensor:
    """Output frames of unpadded convolutions, each (kernel, stride); int64 (B,) to (B,)."""
    for kernel, stride in layers:
        # Adding the stride first keeps the dividend positive: ONNX rounds towards zero.
        frames = paddle.clip(frames + (stride - kernel), min=0) // stride
    return frames
