"""Holds an evaluation against the recipe's gate. The verdict is data; the build acts on it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage


class GateParams(stage.Params):
    """Limits as fractions; None where the recipe sets none."""

    metric: str = "cer"
    max_error_rate: float | None = None
    max_increase: float | None = None
    max_deletion_increase: float | None = None
    min_speedup: float | None = None
    max_size_ratio: float | None = None


class Gate(Stage):
    """``gate.json``: each check with its limit, the measured value and whether it holds."""

    name: ClassVar[str] = "gate"
    outputs: ClassVar[tuple[str, ...]] = ("gate.json",)
    Params: ClassVar[type[stage.Params]] = GateParams

    def run(
        self, params: GateParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        evaluation = json.loads(inputs["evaluation"].read_bytes())
        checks = list(_checks(params, evaluation))
        verdict = {"ok": all(check["ok"] for check in checks), "checks": checks}
        (out / "gate.json").write_text(json.dumps(verdict, indent=1, sort_keys=True) + "\n")


def _checks(limits: GateParams, evaluation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    method = evaluation["decode"]["method"]
    found = evaluation["methods"][method]
    metric = found[limits.metric]
    deletions = [metric[role]["deletions"] / metric[role]["length"] for role in ROLES]
    yield _check("emptied utterances", len(found["emptied"]), "<=", 0)
    for name, measured, relation, limit in (
        (limits.metric, metric["candidate"]["rate"], "<=", limits.max_error_rate),
        (f"{limits.metric} increase", metric["increase"], "<=", limits.max_increase),
        ("deletion increase", deletions[1] - deletions[0], "<=", limits.max_deletion_increase),
        ("size ratio", evaluation["size"]["ratio"], "<=", limits.max_size_ratio),
        ("speed-up", evaluation["timing"]["speedup"], ">=", limits.min_speedup),
    ):
        if limit is not None:
            yield _check(name, measured, relation, limit)


ROLES = ("baseline", "candidate")


def _check(name: str, measured: float, relation: str, limit: float) -> dict[str, Any]:
    ok = measured <= limit if relation == "<=" else measured >= limit
    return {"name": name, "measured": measured, "relation": relation, "limit": limit, "ok": ok}
