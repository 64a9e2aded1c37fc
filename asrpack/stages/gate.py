"""Holds an evaluation against the recipe's gate. The verdict is data; the build acts on it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from asrpack.errors import ToolchainError
from asrpack.report.numbers import apart, megabytes, percent, seconds, times
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage

Unit = Literal["utterances", "rate", "points", "ratio", "factor", "bytes", "seconds"]
ROLES = ("baseline", "candidate")
NAMED = 3
_WRITE = {
    "rate": percent,
    "points": percent,
    "ratio": percent,
    "factor": times,
    "bytes": megabytes,
    "seconds": seconds,
}


class GateParams(stage.Params):
    """Limits as fractions, bytes and seconds; None where the recipe sets none."""

    metric: str = "cer"
    max_error_rate: float | None = None
    max_increase: float | None = None
    max_deletion_increase: float | None = None
    min_speedup: float | None = None
    max_size_ratio: float | None = None
    max_size_bytes: int | None = None
    max_memory_ratio: float | None = None
    max_memory_bytes: int | None = None
    max_cold_start: float | None = None


class Gate(Stage):
    """``gate.json``: each check with its limit, the measured value and whether it holds.

    ``reason`` says the same in words; ``unit`` is that of ``measured`` and ``limit``: a ``ratio``
    is relative to fp32's figure, ``points`` are a difference of rates.
    """

    name: ClassVar[str] = "gate"
    revision: ClassVar[int] = 2
    outputs: ClassVar[tuple[str, ...]] = ("gate.json",)
    fresh: ClassVar[str] = "it judges what was measured anew"
    measured: ClassVar[str | None] = r"checks\.\d+\.(measured|reason)"
    Params: ClassVar[type[stage.Params]] = GateParams

    def run(
        self, params: GateParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Judges.

        Raises:
            ToolchainError: a limit is set for what could not be measured on this system.
        """
        evaluation = json.loads(inputs["evaluation"].read_bytes())
        checks = [_emptied(evaluation), *_checks(params, evaluation)]
        verdict = {"ok": all(check["ok"] for check in checks), "checks": checks}
        (out / "gate.json").write_text(
            json.dumps(verdict, ensure_ascii=False, indent=1, sort_keys=True) + "\n",
            encoding="utf-8",
        )


def _emptied(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Held always: damage that a mean hides."""
    lost = evaluation["methods"][evaluation["decode"]["method"]]["emptied"]
    names = ", ".join(lost[:NAMED]) + (", …" if len(lost) > NAMED else "")
    return {
        "name": "emptied utterances",
        "measured": len(lost),
        "relation": "<=",
        "limit": 0,
        "unit": "utterances",
        "ok": not lost,
        "reason": f"utterances that lost all of their text: {names}"
        if lost
        else "no utterance lost all of its text",
    }


def _checks(limits: GateParams, evaluation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    found = evaluation["methods"][evaluation["decode"]["method"]][limits.metric]
    deletions = [found[role]["deletions"] / found[role]["length"] for role in ROLES]
    size, metric = evaluation["size"], limits.metric.upper()
    bounds: list[tuple[str, str, Unit, float, float | None]] = [
        (limits.metric, metric, "rate", found["candidate"]["rate"], limits.max_error_rate),
        (
            f"{limits.metric} increase",
            f"the increase of {metric} over fp32",
            "points",
            found["increase"],
            limits.max_increase,
        ),
        (
            "deletion increase",
            "the increase of deletions over fp32",
            "points",
            deletions[1] - deletions[0],
            limits.max_deletion_increase,
        ),
        ("size", "the size", "bytes", size["bytes"]["candidate"], limits.max_size_bytes),
        ("size ratio", "the size relative to fp32", "ratio", size["ratio"], limits.max_size_ratio),
    ]
    if limits.max_memory_bytes is not None or limits.max_memory_ratio is not None:
        before, after = (_measured(evaluation, "memory")[role]["peak"] for role in ROLES)
        bounds += [
            ("memory", "the peak memory", "bytes", after, limits.max_memory_bytes),
            (
                "memory ratio",
                "the peak memory relative to fp32",
                "ratio",
                after / before,
                limits.max_memory_ratio,
            ),
        ]
    if limits.max_cold_start is not None:
        wait = _measured(evaluation, "cold_start")["candidate"]["seconds"]
        bounds.append(("cold start", "the cold start", "seconds", wait, limits.max_cold_start))
    for name, subject, unit, measured, limit in bounds:
        if limit is not None:
            yield _check(name, subject, unit, measured, "<=", limit)
    if limits.min_speedup is not None:
        speedup = evaluation["timing"]["speedup"]
        yield _check("speed-up", "the speed-up", "factor", speedup, ">=", limits.min_speedup)


def _measured(evaluation: Mapping[str, Any], section: str) -> Any:
    if section not in evaluation:
        raise ToolchainError(
            "the recipe bounds it, but this system does not tell a process's peak memory",
            code="not-measured",
            place=f"gate.{section}",
            remedy=f"build on Linux, or take `{section}` out of the gate",
        )
    return evaluation[section]


def _check(
    name: str, subject: str, unit: Unit, measured: float, relation: str, limit: float
) -> dict[str, Any]:
    ok = measured <= limit if relation == "<=" else measured >= limit
    bound = "at most" if relation == "<=" else "at least"
    shown, wanted = apart(_WRITE[unit], measured, limit)
    return {
        "name": name,
        "measured": measured,
        "relation": relation,
        "limit": limit,
        "unit": unit,
        "ok": ok,
        "reason": f"{subject} is {shown}; {bound} {wanted} is asked for",
    }
