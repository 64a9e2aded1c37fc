"""PaddleSlim's activation observers on asrpack's own networks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import paddle
from paddle import nn

from asrpack.errors import ToolchainError

_CLASSES = {
    "hist": "HistObserver",
    "kl": "KLObserver",
    "mse": "MSEObserver",
    "avg": "AVGObserver",
    "emd": "EMDObserver",
}
_LAYERS = (nn.Linear, nn.Conv1D, nn.Conv2D)


class LayerObservers:
    """Sees what goes into every linear and convolutional layer, and what leaves a convolution.

    Hooks and not ``paddle.quantization.PTQ``: that knows no Conv1D, and a network that it has
    rewritten has layers of other names.

    Args:
        network: of one graph; it is only looked at.
        name: the recipe's name of an observer.
    """

    def __init__(self, network: nn.Layer, name: str) -> None:
        from paddleslim.quant import observers

        self._factory = getattr(observers, _CLASSES[name])()
        self._watched: dict[tuple[str, str], _Watched] = {}
        for path, layer in network.named_sublayers():
            if isinstance(layer, _LAYERS):
                watched = self._watch(f"{path}.weight", "input", layer)
                layer.register_forward_pre_hook(watched.before)
        for path, parent in [("", network), *network.named_sublayers()]:
            children = [*parent.named_children(), ("", None)]
            for (child, layer), (_, after) in pairwise(children):
                if isinstance(layer, nn.Conv1D | nn.Conv2D):
                    # A batch norm is folded into the convolution before it.
                    last = after if isinstance(after, nn.BatchNorm1D) else layer
                    weight = ".".join(filter(None, (path, child, "weight")))
                    watched = self._watch(weight, "output", layer)
                    last.register_forward_post_hook(watched.after)

    def ranges(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Lowest and highest number to cover, by the weight's name and ``input`` or ``output``.

        Raises:
            ToolchainError: an observer failed; the layer is named.
        """
        return {key: item.range(key[0]) for key, item in self._watched.items() if item.calls}

    def _watch(self, weight: str, side: str, layer: nn.Layer) -> _Watched:
        observer = self._factory._instance(layer)
        if hasattr(observer, "_cal_min_max_by_percent"):
            observer._cal_min_max_by_percent = partial(_by_percent, observer)
        watched = self._watched[weight, side] = _Watched(observer)
        return watched


class _Watched:
    def __init__(self, observer: Any) -> None:
        self._observer = observer
        self._lowest, self._highest = float("inf"), float("-inf")
        self.calls = 0

    def before(self, layer: nn.Layer, inputs: tuple[paddle.Tensor, ...]) -> None:
        self._see(inputs[0])

    def after(self, layer: nn.Layer, inputs: Any, output: paddle.Tensor) -> None:
        self._see(output)

    def range(self, weight: str) -> tuple[float, float]:
        """PaddleSlim's are symmetric; here one ends where nothing was seen."""
        try:
            (scale,) = np.ravel(self._observer.scales()).tolist()  # a number, an array or a tensor
        except Exception as error:  # its pure Python fails in many ways
            raise ToolchainError(
                f"PaddleSlim's observer failed: {error}",
                code="observer-failed",
                place=weight,
                remedy="choose another `observer`",
            ) from error
        return max(-scale, self._lowest), min(scale, self._highest)

    def _see(self, tensor: paddle.Tensor) -> None:
        self._observer(tensor)
        self._lowest = min(self._lowest, float(tensor.min()))
        self._highest = max(self._highest, float(tensor.max()))
        self.calls += 1


def _by_percent(observer: Any) -> tuple[float, float]:
    """As ``PercentHistObserverLayer``, whose own way fails: NumPy 2.4 makes no float of (1,)."""
    share = np.cumsum(observer._hist / np.sum(observer._hist, dtype=np.float64))
    width = (observer._hist_max - observer._hist_min) / len(share)
    ends = [np.argmax(share >= bound) for bound in (1 - observer._percent, observer._percent)]
    lowest, highest = (observer._hist_min + float((end - 0.5) * width) for end in ends)
    return lowest, highest


def scale_parameters(network: nn.Layer, factors: Mapping[str, Any]) -> None:
    """Multiplies parameters, by name, in place.

    Raises:
        ToolchainError: the network has no parameter of that name.
    """
    parameters = dict(network.named_parameters())
    for name, factor in factors.items():
        if name not in parameters:
            raise ToolchainError(
                f"the network has no parameter {name}, which `smooth` has scaled",
                code="observer-names",
                place=name,
                remedy="choose one of ONNX Runtime's observers",
            )
        parameters[name].set_value(parameters[name] * paddle.to_tensor(factor))
