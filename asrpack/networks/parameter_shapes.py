"""Names and shapes of the parameters of layers that networks share; free of Paddle.

Linear weights are (in, out), convolution weights (out, in / groups, kernel…), as Paddle keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping

Shape = tuple[int, ...]
Shapes = dict[str, Shape]


def linear(inputs: int, outputs: int) -> Shapes:
    """A linear layer."""
    return {"weight": (inputs, outputs), "bias": (outputs,)}


def norm(size: int) -> Shapes:
    """A layer norm, or what a batch norm has besides its statistics."""
    return {"weight": (size,), "bias": (size,)}


def adaptive_scale(size: int) -> Shapes:
    """The scale and bias that a squeezeformer's modules put before their input."""
    return {"ada_scale": (1, 1, size), "ada_bias": (1, 1, size)}


def attention(size: int) -> Shapes:
    """Multi-head attention."""
    names: Shapes = {}
    for projection in ("linear_q", "linear_k", "linear_v", "linear_out"):
        names |= under(projection, linear(size, size))
    return names


def relative_attention(heads: int, size: int) -> Shapes:
    """Multi-head attention with relative positions."""
    bias = (heads, size // heads)
    positions = {"linear_pos.weight": (size, size), "pos_bias_u": bias, "pos_bias_v": bias}
    return {**attention(size), **positions}


def feed_forward(size: int, units: int) -> Shapes:
    """Two linear layers."""
    return {**under("w_1", linear(size, units)), **under("w_2", linear(units, size))}


def convolution_module(size: int, kernel: int, norm_type: str) -> Shapes:
    """A conformer's convolution module; ``norm_type`` is ``batch_norm`` or ``layer_norm``."""
    names: Shapes = {
        "pointwise_conv1.weight": (2 * size, size, 1),
        "pointwise_conv1.bias": (2 * size,),
        "depthwise_conv.weight": (size, 1, kernel),
        "depthwise_conv.bias": (size,),
        "pointwise_conv2.weight": (size, size, 1),
        "pointwise_conv2.bias": (size,),
    }
    if norm_type == "batch_norm":
        names |= {"norm._mean": (size,), "norm._variance": (size,)}
    return names | under("norm", norm(size))


def global_cmvn(bins: int) -> Shapes:
    """Normalization inside the network."""
    return {"global_cmvn.mean": (bins,), "global_cmvn.istd": (bins,)}


def under(prefix: str, names: Mapping[str, Shape]) -> Shapes:
    """The same names below ``prefix``."""
    return {f"{prefix}.{name}": shape for name, shape in names.items()}
