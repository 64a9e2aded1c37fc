"""Which layers a recipe's patterns and kinds of operators name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from asrpack.errors import InputError

if TYPE_CHECKING:
    from onnx import ModelProto


def chosen_layers(
    models: Mapping[str, ModelProto],
    operators: Sequence[str],
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
) -> dict[str, set[str]]:
    """Names of the nodes to quantize, by graph.

    Args:
        models: the graphs by name.
        operators: kinds of nodes, see :func:`asrpack.graph.quantization.operators.operator_kinds`.
        include: shell patterns of the names of nodes or weights; nothing else is chosen.
        exclude: likewise, of what is not.

    Raises:
        InputError: a pattern names nothing.
    """
    from asrpack.graph.quantization.operators import operator_kinds

    kinds = {name: operator_kinds(model) for name, model in models.items()}
    included = named_layers(models, kinds, "include", include or ())
    excluded = named_layers(models, kinds, "exclude", exclude)
    return {
        name: {
            node
            for node, kind in kinds[name].items()
            if kind in operators
            and (include is None or node in included[name])
            and node not in excluded[name]
        }
        for name in models
    }


def named_layers(
    models: Mapping[str, ModelProto],
    nodes: Mapping[str, Iterable[str]],
    option: str,
    patterns: Sequence[str],
) -> dict[str, set[str]]:
    """Of these nodes of each graph, the names of those that a recipe's patterns match.

    Raises:
        InputError: a pattern of ``option`` names nothing.
    """
    from asrpack.graph.quantization.layers import matching, quantizable

    named: dict[str, set[str]] = {name: set() for name in models}
    for pattern in patterns:
        found = {name: matching(model, set(nodes[name]), pattern) for name, model in models.items()}
        if not any(found.values()):
            weights = [node.input[1] for model in models.values() for node in quantizable(model)]
            raise unmatched(option, pattern, weights)
        for name, matched in found.items():
            named[name] |= matched
    return named


def unmatched(option: str, pattern: str, weights: Sequence[str]) -> InputError:
    """The refusal of a pattern that matches none of these."""
    return InputError(
        f"the pattern {pattern!r} of `{option}` names no layer that can be quantized",
        code=f"{option}-unmatched",
        place="quantize",
        remedy=f"use the names of weights, such as {', '.join(weights[:3])}",
    )
