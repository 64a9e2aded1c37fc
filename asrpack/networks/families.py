"""The networks that asrpack itself defines, by the family that a model description names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from asrpack.bundle.model import ModelDescription
from asrpack.errors import InputError
from asrpack.networks import deepspeech2_graphs, foreign, u2_graphs
from asrpack.networks.deepspeech2_spec import DeepSpeech2Spec
from asrpack.networks.interface import GraphSpec
from asrpack.networks.u2_spec import U2Spec


def graph_specs(description: ModelDescription) -> tuple[GraphSpec, ...]:
    """The graphs of a model, ``encoder`` first.

    Raises:
        InputError: the family has no network here.
    """
    if description.family == "paddlespeech_u2":
        streaming = description.streaming is not None
        specs = u2_graphs.graph_specs(U2Spec.from_dict(description.network), streaming)
        return tuple(spec for spec in specs if spec.name in description.graphs)
    if description.family == "paddlespeech_deepspeech2":
        states = () if description.streaming is None else description.streaming.states
        return deepspeech2_graphs.graph_specs(
            DeepSpeech2Spec.from_dict(description.network), states
        )
    if description.family in foreign.FAMILIES:
        return foreign.graph_specs(description)
    raise _no_network(description.family)


def layers(description: ModelDescription, parameters: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The Paddle layers of the network's graphs with these parameters, set for evaluation.

    Args:
        parameters: by the upstream names, float32, exactly those that the network has.

    Raises:
        InputError: the family has no network here.
    """
    if description.family == "paddlespeech_u2":
        from asrpack.networks import u2

        model = u2.build(U2Spec.from_dict(description.network), parameters)
        encoder = u2.EncoderGraph if description.streaming is None else u2.StreamingEncoderGraph
        return {"encoder": encoder(model), **u2.decoder_graphs(model)}
    if description.family == "paddlespeech_deepspeech2":
        from asrpack.networks import deepspeech2

        network = deepspeech2.build(DeepSpeech2Spec.from_dict(description.network), parameters)
        if description.streaming is None:
            return {"encoder": deepspeech2.EncoderGraph(network)}
        return {"encoder": deepspeech2.StreamingEncoderGraph(network)}
    raise _no_network(description.family)


def _no_network(family: str) -> InputError:
    return InputError(
        f"there is no network of the family {family!r}",
        code="model-description",
        place="model.json",
        remedy="run the import stage again with this version of asrpack",
    )
