"""Fills a network with parameters by their upstream names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from paddle import nn

_NOT_SAVED = "__non_persistable"


def load(model: nn.Layer, parameters: Mapping[str, np.ndarray]) -> None:
    """Loads parameters and buffers, and sets the network for evaluation.

    Args:
        model: the network.
        parameters: exactly the names and shapes of its ``state_dict``; float32.

    Raises:
        ValueError: a name or shape is off (a frontend has checked that before).
    """
    missing, unexpected = model.set_state_dict(dict(parameters))
    if missing or unexpected:
        raise ValueError(f"parameters missing: {missing}, unexpected: {unexpected}")
    # PaddleSpeech's names go through to the ONNX file, where a recipe's `exclude` can use them.
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        # Paddle knows by its name that a recurrent layer's dropout state has no contents to save.
        if not value.name.endswith(_NOT_SAVED):
            value.name = name
    model.eval()
