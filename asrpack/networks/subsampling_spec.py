"""The input layers of PaddleSpeech's U2 encoders, by name; free of Paddle."""

from __future__ import annotations

from dataclasses import dataclass

from asrpack.networks.parameter_shapes import Shapes, linear, norm, under


@dataclass(frozen=True)
class Subsampling:
    """A stack of unpadded 2-D convolutions over time and frequency.

    Attributes:
        layers: (kernel, stride) of each convolution, the same over both axes; none where the
            input layer is linear.
        projection: name of the linear layer that follows, below ``encoder.embed``.
        right_context: input frames that the first output frame sees beyond its own.
        halvings: how often the encoder halves the frames later on, and keeps them so.
    """

    layers: tuple[tuple[int, int], ...]
    projection: str
    right_context: int
    halvings: int = 0

    @property
    def factor(self) -> int:
        """Input frames for one output frame."""
        factor: int = 2**self.halvings
        for _, stride in self.layers:
            factor *= stride
        return factor

    def length(self, frames: int) -> int:
        """Output frames (or bins) for that many input ones; 0 where there are too few."""
        for kernel, stride in self.layers:
            frames = max(0, (frames - kernel) // stride + 1)
        for _ in range(self.halvings):
            frames = (frames + 1) // 2
        return frames


SUBSAMPLINGS = {
    "linear": Subsampling((), "out.0", 0),
    "conv2d": Subsampling(((3, 2), (3, 2)), "out.0", 6),
    "conv2d6": Subsampling(((3, 2), (5, 3)), "linear", 10),
    "conv2d8": Subsampling(((3, 2), (3, 2), (3, 2)), "linear", 14),
}


def input_layer_parameters(subsampling: Subsampling, bins: int, size: int) -> Shapes:
    """Parameters below ``encoder.embed``, for features of ``bins`` and states of ``size``."""
    if not subsampling.layers:
        return {**under("out.0", linear(bins, size)), **under("out.1", norm(size))}
    names: Shapes = {}
    for index, (kernel, _) in enumerate(subsampling.layers):
        # Activations sit between the convolutions, hence every second number.
        convolution = {"weight": (size, 1 if index == 0 else size, kernel, kernel), "bias": (size,)}
        names |= under(f"conv.{2 * index}", convolution)
    flat = size * subsampling.length(bins)
    return names | under(subsampling.projection, linear(flat, size))
