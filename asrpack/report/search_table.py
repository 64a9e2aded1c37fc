"""What an automatic search found, as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# The worst layers, and all that stay fp32; the rest is in search.json.
_SHOWN = 10
_STOPPED = {
    "met": "within the budget",
    "time": "time ran out before the budget was met: this is the best so far",
    "exhausted": "not within the budget: not even with every layer in fp32",
}


def search_table(search: Mapping[str, Any]) -> str:
    """Layers by sensitivity, the worst first, then the candidates."""
    return "\n".join(f"    {line}" for line in (*_layers(search), "", *_candidates(search)))


def _layers(search: Mapping[str, Any]) -> Iterator[str]:
    layers = sorted(search["layers"], key=lambda item: -(item["sensitivity"] or 0.0))
    shown = [item for place, item in enumerate(layers) if place < _SHOWN or _is_kept(item)]
    width = max((len(_name(item)) for item in shown), default=5)
    yield f"{'layer':{width}}  {'weights':>9}  {'divergence':>10}  precision"
    for item in shown:
        value = item["sensitivity"]
        divergence = "-" if value is None else f"{value:.2e}"
        yield f"{_name(item):{width}}  {item['weights']:9}  {divergence:>10}  {item['precision']}"
    if len(layers) > len(shown):
        yield f"… and {len(layers) - len(shown)} less sensitive layers in int8"


def _candidates(search: Mapping[str, Any]) -> Iterator[str]:
    metric, fp32 = search["metric"].upper(), search["fp32"]["error_rate"]
    yield (
        f"{'':2}{'candidate':16}{'MB':>8}{'of fp32':>9}{'speed':>8}{metric:>9}{'rise':>9}"
        f"{'at most':>9}"
    )
    yield f"{'':2}{'fp32':16}{search['fp32']['bytes'] / 1e6:8.1f}{1:9.0%}{1:7.2f}x{fp32:9.2%}"
    for item in search["candidates"]:
        mark = "→" if item["chosen"] else ""
        yield (
            f"{mark:2}{item['name']:16}{item['bytes'] / 1e6:8.1f}{item['size_ratio']:9.0%}"
            f"{item['speedup']:7.2f}x{item['error_rate']:9.2%}{item['increase']:+9.2%}"
            f"{item['increase_bound']:+9.2%}"
        )
    limit = search["budget"]["max_increase"]
    yield f"{_STOPPED[search['stopped']]} ({limit:.2%} more errors; 95 % interval, calibration set)"


def _name(layer: Mapping[str, Any]) -> str:
    return f"{layer['graph']}/{layer['name']}"


def _is_kept(layer: Mapping[str, Any]) -> bool:
    return bool(layer["precision"] == "fp32")
