"""How a small bundle came about, for its documents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from asrpack.report.origin import Origin

CONTENT: dict[str, Any] = {
    "schema": 1,
    "name": "digits",
    "version": "1.0",
    "model": {"source": "paddlespeech", "path": "conformer", "license": "apache-2.0"},
    "data": {
        "test": {
            "manifest": "test.jsonl",
            "license": "CC-BY-4.0",
            "name": "Digits, held out",
            "url": "https://example.org/digits",
        },
        "calibration": {"manifest": "calibration.jsonl", "license": "as agreed with the speakers"},
    },
    "builds": {"cpu": {"target": "onnxruntime", "precision": "int8"}},
    "considerations": {
        "users": ["banks"],
        "use_cases": ["telephone numbers"],
        "technical_limitations": ["digits only"],
        "ethical_considerations": ["accents that it was not trained on"],
    },
}


def stage(name: str, tools: dict[str, str], **params: Any) -> dict[str, Any]:
    digest = name[0].encode().hex() * 32
    return {
        "name": name,
        "key": digest,
        "revision": 1,
        "params": params,
        "inputs": {"model": digest},
        "tools": tools,
        "outputs": {"onnx": digest},
    }


ORIGIN = Origin(
    name="digits",
    version="1.0",
    build="cpu",
    bundle_id="0d5ae0d2-6d0f-4cf0-9d0f-7a8f9c5e1a2b",
    created=1_700_000_000,
    recipe={"file": "recipe.yaml", "sha256": "0" * 64, "content": CONTENT},
    stages=(
        stage("import", {"numpy": "2.0.0", "ruamel.yaml": "0.18.1"}),
        stage("evaluate", {"onnxruntime": "1.31.1 (onnxruntime-gpu)"}, threads=0),
        stage("watermark", {"onnx": "1.17.0+local"}, customer="Somebody", strength=0.05),
    ),
    sources={
        "model": "1" * 64,
        "test": "2" * 64,
        "calibration": "3" * 64,
        "language_model": "4" * 64,
        "templates": "5" * 64,
        "runtime": "6" * 64,
    },
    files={
        "model/model.yaml": "7" * 64,
        "model/avg_1.pdparams": "8" * 64,
        "test/test.jsonl": "9" * 64,
        "calibration/calibration.jsonl": "a" * 64,
        "language_model/lm.arpa": "4" * 64,
    },
)


def with_content(**changes: Any) -> Origin:
    """The same, with other parts of the recipe."""
    return replace(ORIGIN, recipe={**ORIGIN.recipe, "content": CONTENT | changes})
