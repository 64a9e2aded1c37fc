"""An artifact as a build leaves it: two methods, one streamed, compared with PaddleSpeech."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

DIGEST = "{:064x}".format


def edits(substitutions: int, deletions: int, insertions: int, length: int) -> dict[str, Any]:
    counts = {"substitutions": substitutions, "deletions": deletions, "insertions": insertions}
    return {**counts, "length": length, "rate": sum(counts.values()) / length}


def compared(first: str, one: dict[str, Any], second: str, other: dict[str, Any]) -> dict[str, Any]:
    increase = other["rate"] - one["rate"]
    interval = [increase - 0.001, increase + 0.0015]
    return {first: one, second: other, "increase": increase, "increase_interval_95": interval}


def both(first: str, second: str, changed: int) -> dict[str, Any]:
    return {
        "changed": changed,
        "emptied": [],
        "cer": compared(first, edits(12, 30, 2, 2557), second, edits(14, 33, 2, 2557)),
        "wer": compared(first, edits(16, 8, 0, 545), second, edits(17, 9, 0, 545)),
    }


def said(reference: str, baseline: str, candidate: str, utt: str) -> dict[str, Any]:
    texts = {"attention_rescoring": baseline, "ctc_greedy_search": baseline}
    return {
        "utt": utt,
        "reference": reference,
        "baseline": texts,
        "candidate": texts | {"attention_rescoring": candidate},
    }


def footprint(loading: int, running: int) -> dict[str, Any]:
    runtime = 54_000_000
    return {
        "runtime": runtime,
        "loading": {"peak": loading, "model": loading - runtime},
        "running": {"peak": running, "model": running - runtime},
        "peak": max(loading, running),
    }


EVALUATION: dict[str, Any] = {
    "format": 1,
    "set": {"utterances": 105, "audio_seconds": 220.56},
    "decode": {"method": "attention_rescoring", "beam_size": 10, "ngram": None},
    "methods": {
        "attention_rescoring": {
            **both("baseline", "candidate", 3),
            "streaming": both("whole", "streaming", 2),
        },
        "ctc_greedy_search": both("baseline", "candidate", 0),
    },
    "size": {"bytes": {"baseline": 14_511_819, "candidate": 5_615_359}, "ratio": 0.38695},
    "utterances": [
        said("ten of clubs", "ten of clubs", "ten of club", "human-001"),
        said("two of hearts", "too of hearts", "two of hearts", "human-002"),
        said("今天天气很好", "今天天汽很好", "今天天气很号", "zh-003"),
        said("six", "six", "six", "human-004"),
    ],
    "paddlespeech": {
        "versions": {"paddlespeech": "1.5.0"},
        "baseline": {"attention_rescoring": {"identical": 105, "different": []}},
        "candidate": {"attention_rescoring": {"identical": 102, "different": []}},
    },
    "timing": {
        "measured": "2026-02-03T04:05:06Z",
        "method": "attention_rescoring",
        "utterances": 32,
        "audio_seconds": 68.35,
        "rounds": 5,
        "baseline_rtf": 0.0230,
        "candidate_rtf": 0.0199,
        "speedup": 1.156,
        "speedup_range": [1.02, 1.31],
        "host": {
            "cpu": "Some CPU",
            "machine": "x86_64",
            "system": "Linux",
            "cores": 2,
            "threads": 0,
            "int8_features": ["avx2", "avx512_vnni"],
            "python": "3.11.7",
        },
    },
    "memory": {
        "rounds": 3,
        "baseline": footprint(105_000_000, 128_000_000),
        "candidate": footprint(86_000_000, 109_000_000),
    },
    "cold_start": {
        "rounds": 3,
        "baseline": {"seconds": 0.52, "range": [0.5, 0.6]},
        "candidate": {"seconds": 0.41, "range": [0.35, 0.46]},
    },
}


def check(name: str, unit: str, measured: float, relation: str, limit: float) -> dict[str, Any]:
    ok = measured <= limit if relation == "<=" else measured >= limit
    reason = f"the {name} in words"
    return {
        "name": name,
        "unit": unit,
        "measured": measured,
        "relation": relation,
        "limit": limit,
        "ok": ok,
        "reason": reason,
    }


GATE: dict[str, Any] = {
    "ok": True,
    "checks": [
        check("emptied utterances", "utterances", 0, "<=", 0),
        check("cer", "rate", 49 / 2557, "<=", 0.03),
        check("cer increase", "points", 5 / 2557, "<=", 0.005),
        check("size", "bytes", 5_615_359, "<=", 6_000_000),
        check("cold start", "seconds", 0.41, "<=", 2),
        check("speed-up", "factor", 1.156, ">=", 1.1),
    ],
}


def stage(output: str, number: int, **params: Any) -> dict[str, Any]:
    components = {"params": params, "tools": {"numpy": "2.4.6"}}
    return {"components": components, "outputs": {output: DIGEST(number)}}


LOCK: dict[str, Any] = {
    "format": 2,
    "recipe": {
        "name": "digits-cards",
        "version": "1.0.0",
        "build": "cpu",
        "target": "onnxruntime",
        "precision": "int8",
        "file": "recipe.yaml",
        "sha256": DIGEST(1),
        "overrides": ["gate.speedup.min=1.1"],
        "asrpack": "0.1.0",
        "python": "3.11.7",
    },
    "model": {
        "family": "paddlespeech_u2",
        "sample_rate": 16000,
        "vocabulary_size": 31,
        "chunk_size": 16,
    },
    "sources": {
        "model": {"name": "conformer", "sha256": DIGEST(2)},
        "test": {"name": "data/all.jsonl", "sha256": DIGEST(3), "recordings": 105},
        "calibration": {"name": "data/calibration.jsonl", "sha256": DIGEST(4), "recordings": 60},
    },
    "stages": {
        "quantize": stage("onnx", 5, precision="int8", exclude=["ctc", "output"], smooth=None),
        "watermark": stage("onnx", 6, customer="acme", strength=0.05),
        "gate": stage("gate.json", 7, metric="cer"),
    },
}


def tried(name: str, kept: int, size: float, speed: float, errors: int) -> dict[str, Any]:
    return {
        "name": name,
        "float_layers": kept,
        "bytes": int(size * 14_511_819),
        "size_ratio": size,
        "speedup": speed,
        "error_rate": errors / 1500,
        "increase": (errors - 15) / 1500,
        "increase_bound": (errors - 14) / 1500,
        "substitutions": errors - 5,
        "deletions": 4,
        "insertions": 1,
        "chosen": kept == 2,
    }


SEARCH: dict[str, Any] = {
    "format": 1,
    "metric": "cer",
    "budget": {"max_increase": 0.002, "seconds": 600},
    "set": {"utterances": 60, "audio_seconds": 200.0},
    "stopped": "met",
    "layers": [
        {
            "graph": "encoder",
            "name": f"encoder.encoders.{index}.self_attn.linear_q.weight",
            "kind": "MatMul",
            "weights": 65536,
            "sensitivity": 0.0004 * (index % 7),
            "precision": "fp32" if index in (6, 13) else "int8",
        }
        for index in range(24)
    ],
    "candidates": [
        tried("int8", 0, 0.31, 1.9, 24),
        tried("int8, 1 kept", 1, 0.33, 1.85, 20),
        tried("int8, 2 kept", 2, 0.35, 1.8, 17),
        tried("int8, output kept", 3, 0.40, 1.7, 18),
    ],
}

FILES = {
    "evaluation.json": EVALUATION,
    "gate.json": GATE,
    "asrpack.lock": LOCK,
    "search.json": SEARCH,
}


def write_artifact(folder: Path, *, search: bool = True) -> Path:
    """The example's files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in FILES.items():
        if search or name != "search.json":
            (folder / name).write_text(json.dumps(value), encoding="utf-8")
    return folder


def change(folder: Path, name: str, *path: str | int, to: Any) -> None:
    """Puts another value into one of the files."""
    file = folder / name
    record = copy.deepcopy(json.loads(file.read_bytes()))
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    file.write_text(json.dumps(record), encoding="utf-8")
