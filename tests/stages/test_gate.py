"""The gate's verdict for each limit, met and not met."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asrpack.stages.gate import Gate, GateParams
from asrpack.stages.stage import Context


def side(rate: float, deletions: int) -> dict[str, Any]:
    return {"rate": rate, "deletions": deletions, "length": 1000}


def evaluation(**changes: Any) -> dict[str, Any]:
    rates = {"baseline": side(0.050, 10), "candidate": side(0.052, 12), "increase": 0.002}
    return {
        "decode": {"method": "attention_rescoring"},
        "methods": {
            "attention_rescoring": {
                "cer": rates,
                "wer": rates,
                "emptied": changes.get("emptied", []),
            }
        },
        "size": {"ratio": 0.3},
        "timing": {"speedup": 1.5},
    }


def verdict(tmp_path: Path, params: GateParams, **changes: Any) -> dict[str, Any]:
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(evaluation(**changes)))
    Gate().run(params, {"evaluation": path}, tmp_path, Context())
    result: dict[str, Any] = json.loads((tmp_path / "gate.json").read_text())
    return result


@pytest.mark.parametrize(
    ("limit", "met", "missed"),
    [
        ("max_error_rate", 0.052, 0.0519),
        ("max_increase", 0.002, 0.0019),
        ("max_deletion_increase", 0.0021, 0.0019),
        ("max_size_ratio", 0.3, 0.29),
        ("min_speedup", 1.5, 1.51),
    ],
)
def test_each_limit(tmp_path: Path, limit: str, met: float, missed: float) -> None:
    assert verdict(tmp_path, GateParams(**{limit: met}))["ok"]
    refused = verdict(tmp_path, GateParams(**{limit: missed}))
    assert not refused["ok"]
    assert [check["limit"] for check in refused["checks"] if not check["ok"]] == [missed]


def test_no_limits_pass(tmp_path: Path) -> None:
    assert verdict(tmp_path, GateParams())["ok"]


def test_an_emptied_utterance_fails_whatever_the_mean(tmp_path: Path) -> None:
    assert not verdict(tmp_path, GateParams(max_error_rate=1.0), emptied=["utt-7"])["ok"]
