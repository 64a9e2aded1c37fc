"""``report.html``: one file that needs nothing else, for whoever decides on a release."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrpack.report import facts, pareto, search, view
from asrpack.report.results import Results, other_version, read_results
from asrpack.report.templates import templates_folder
from asrpack.report.texts import changed_texts
from asrpack.report.visible import visible

if TYPE_CHECKING:
    from jinja2 import Environment

REPORT = "report.html"
# What is past them stands in evaluation.json, or is folded away.
SHOWN_TEXTS = 200
SHOWN_LAYERS = 20


def render_report(folder: Path) -> str:
    """The report on an artifact, or on its ``rejected`` folder: the same text for the same files.

    Raises:
        InputError: as :func:`read_results`, or the files are not as this version writes them.
    """
    results = read_results(folder)
    try:
        return html_templates().get_template("report.html.j2").render(_values(results)) + "\n"
    except (KeyError, TypeError, ValueError, IndexError, ArithmeticError, AttributeError):
        raise other_version(folder) from None


@cache
def html_templates() -> Environment:
    """The templates of pages: what is put into them is escaped, and shown where it hides."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    return Environment(
        loader=FileSystemLoader(templates_folder("report")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Texts and names come from files that others wrote.
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else visible(value),
    )


def _values(results: Results) -> dict[str, Any]:
    recipe = results.lock["recipe"]
    compared, unit, limit = search.candidates(results)
    found = results.search
    layers = search.layers(found) if found else []
    changed = {
        method: changed_texts(results.evaluation["utterances"], method)
        for method in view.method_names(results)
    }
    return {
        "name": recipe["name"],
        "version": recipe["version"],
        "build": recipe["build"],
        "candidate": view.candidate_name(results),
        "accepted": results.gate["ok"],
        "summary": view.summary(results),
        "verdicts": view.verdicts(results),
        "figures": list(view.figures(results)),
        "methods": list(view.methods(results)),
        "streamed": any("streaming" in m for m in results.evaluation["methods"].values()),
        "changed": changed,
        "shown_texts": SHOWN_TEXTS,
        "plots": {
            "size": pareto.size_and_error(compared, limit),
            "speed": pareto.speed_and_error(compared, limit),
        },
        "geometry": pareto,
        "unit": unit,
        "search": found
        and {
            "facts": list(search.facts(found)),
            "rows": search.rows(found),
            "first_layers": layers[:SHOWN_LAYERS],
            "other_layers": layers[SHOWN_LAYERS:],
        },
        "inputs": list(facts.inputs(results)),
        "host": list(facts.host(results)),
        "tools": facts.tools(results),
        "outputs": facts.outputs(results),
    }
