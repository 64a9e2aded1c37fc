"""The gate's verdict for each limit, met and not met."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from asrpack.errors import ToolchainError
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
        "size": {"ratio": 0.3, "bytes": {"candidate": 6_000_000}},
        "timing": {"speedup": 1.5},
        "memory": {"baseline": {"peak": 200_000_000}, "candidate": {"peak": 150_000_000}},
        "cold_start": {"candidate": {"seconds": 0.8}},
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
        ("max_size_bytes", 6_000_000, 5_999_999),
        ("max_memory_ratio", 0.75, 0.7499),
        ("max_memory_bytes", 150_000_000, 149_999_999),
        ("max_cold_start", 0.8, 0.79),
    ],
)
def test_each_limit(tmp_path: Path, limit: str, met: float, missed: float) -> None:
    assert verdict(tmp_path, GateParams(**{limit: met}))["ok"]
    refused = verdict(tmp_path, GateParams(**{limit: missed}))
    assert not refused["ok"]
    (check,) = [check for check in refused["checks"] if not check["ok"]]
    assert check["limit"] == missed
    # However close: the sentence has digits enough to tell the two numbers apart.
    shown = re.findall(r"[\d.]+(?=\N{NO-BREAK SPACE}|×)", check["reason"])
    assert len(set(shown)) == 2, check["reason"]


def test_no_limits_pass(tmp_path: Path) -> None:
    assert verdict(tmp_path, GateParams())["ok"]


def test_an_emptied_utterance_fails_whatever_the_mean(tmp_path: Path) -> None:
    refused = verdict(tmp_path, GateParams(max_error_rate=1.0), emptied=["utt-7"])
    assert not refused["ok"] and "utt-7" in refused["checks"][0]["reason"]


@pytest.mark.parametrize(
    ("section", "limits"),
    [
        ("memory", {"max_memory_bytes": 1}),
        ("memory", {"max_memory_ratio": 1.0}),
        ("cold_start", {"max_cold_start": 1.0}),
    ],
)
def test_a_bound_of_what_was_not_measured_is_an_error(
    tmp_path: Path, section: str, limits: dict[str, float]
) -> None:
    found = evaluation()
    del found[section]
    (tmp_path / "evaluation.json").write_text(json.dumps(found))
    inputs = {"evaluation": tmp_path / "evaluation.json"}
    with pytest.raises(ToolchainError) as caught:
        Gate().run(GateParams(**limits), inputs, tmp_path, Context())
    assert caught.value.place == f"gate.{section}"
    Gate().run(GateParams(max_size_ratio=1.0), inputs, tmp_path, Context())
