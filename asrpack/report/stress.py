"""The report of ``asrpack stress``: all figures, and what happened over time, in one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asrpack.report import timeline
from asrpack.report.html import html_templates
from asrpack.report.timeline import Panel, Series, over_time
from asrpack.runtime.bench.statistics import RANKS

_MB = 1e6


def render_stress(found: Mapping[str, Any], lines: Mapping[str, Sequence[str]]) -> str:
    """The page.

    Args:
        found: as :func:`asrpack.stress.run.measure_service` gives it.
        lines: ``asked`` and ``remarks``, as the table has them.
    """
    values = {
        "found": found,
        "panels": list(_panels(found)),
        "geometry": timeline,
        "ranks": RANKS,
        **lines,
    }
    return html_templates().get_template("stress.html.j2").render(values) + "\n"


def _panels(found: Mapping[str, Any]) -> Iterator[Panel]:
    series, server = found["series"], found["server"]
    points = _columns(series)
    settled, width = found["warm_up"]["seconds"], series["interval"]
    seconds = [second + width / 2 for second in points["second"]]
    end = max([settled + found["seconds"], *(second + width / 2 for second in seconds)])

    def panel(title: str, unit: str, *lines: Series) -> Panel:
        return over_time(title, unit, lines, end=end, settled=min(settled, end))

    streams = "final_text" in found
    yield panel(
        "Latency, last audio sent to final text" if streams else "Latency, request to text",
        "s",
        *(Series(name, kind, seconds, points[name]) for name, kind in _LATENCIES),
    )
    bad = [a + b for a, b in zip(points["failed"], points["wrong"], strict=True)]
    yield panel(
        "Requests that ended",
        "a second",
        *(
            Series(name, kind, seconds, [value / width for value in values])
            for name, kind, values in (
                ("ok", "first", points["ok"]),
                ("refused", "second", points["refused"]),
                ("failed or wrong", "bad", bad),
            )
        ),
    )
    if server is None:
        return
    told = _columns(server["series"])
    if "memory" in server:
        memory = [value and value / _MB for value in told["memory"]]
        line = Series("resident", "first", told["second"], memory)
        yield panel("Memory of the service", "MB", line)
    if "queue" in server and "jobs" in server:
        yield panel(
            "Under way in the service",
            "",
            Series("jobs", "first", told["second"], told["jobs"]),
            Series("utterances waiting", "second", told["second"], told["queue"]),
        )


_LATENCIES = (("p50", "first"), ("p95", "second"), ("max", "third"))


def _columns(table: Mapping[str, Any]) -> dict[str, list[Any]]:
    names, points = table["columns"], table["points"]
    return {name: [point[at] for point in points] for at, name in enumerate(names)}
