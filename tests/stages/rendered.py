"""A bundle around a tiny model, by the stages that make bundles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrpack.bundle.keys import public_pem, recipient_private, signing_private
from asrpack.bundle.model import ModelDescription
from asrpack.protect.keys import generate
from asrpack.report.templates import templates_folder
from asrpack.runtime.engines import graph_files
from asrpack.stages.encrypt import Encrypt
from asrpack.stages.render import Render
from asrpack.stages.seal import Seal
from asrpack.stages.stage import Context
from tests.runtime import tiny

RATES = {"rate": 0.1, "substitutions": 1, "deletions": 0, "insertions": 0}
EVALUATION = {
    "set": {"utterances": 2, "audio_seconds": 4.0},
    "size": {"bytes": {"baseline": 10, "candidate": 5}},
    "timing": {
        "baseline_rtf": 0.1,
        "candidate_rtf": 0.1,
        "audio_seconds": 4.0,
        "method": "attention_rescoring",
        "host": {"machine": "x86_64", "cores": 2},
    },
    "methods": {
        "attention_rescoring": {
            unit: {
                "baseline": RATES,
                "candidate": RATES,
                "increase": 0.0,
                "increase_interval_95": [-0.01, 0.02],
            }
            for unit in ("cer", "wer")
        }
    },
    "utterances": [{"utt": "1", "reference": "what was said in the test set"}],
}

RECIPE = {
    "file": "recipe.yaml",
    "sha256": "c" * 64,
    "content": {
        "model": {"source": "paddlespeech", "path": "tiny", "license": "Apache-2.0"},
        "data": {
            "test": {"manifest": "test.jsonl", "license": "CC-BY-4.0"},
            "calibration": {"manifest": "calibration.jsonl", "name": "said elsewhere"},
        },
        "builds": {"cpu": {"target": "onnxruntime", "precision": "fp32"}},
    },
}
RECORDS = {
    "stages": [
        {
            "name": "import",
            "key": "a" * 64,
            "revision": 1,
            "params": {"streaming": False},
            "inputs": {"model": "b" * 64},
            "tools": {"numpy": "2.0.0"},
            "outputs": {"model.json": "d" * 64},
        },
        {
            "name": "watermark",
            "key": "e" * 64,
            "revision": 1,
            "params": {"customer": "the customer", "strength": 0.05},
            "inputs": {},
            "tools": {"onnxruntime": "1.31.1 (onnxruntime-gpu)"},
            "outputs": {"onnx": "f" * 64},
        },
    ],
    "sources": dict.fromkeys(
        ("source", "manifest", "calibration", "language_model", "templates", "code"), "b" * 64
    ),
}


@dataclass(frozen=True)
class Keys:
    """A vendor's private signing key and the customer's private key, as files hold them."""

    signing: bytes
    customer: bytes

    @classmethod
    def generate(cls) -> Keys:
        return cls(generate("signing"), generate("recipient"))

    def public(self) -> dict[str, Any]:
        """As :class:`asrpack.stages.encrypt.Encrypt` takes them."""
        signer = signing_private(self.signing, "signer")
        recipient = recipient_private(self.customer, "recipient")
        return {
            "signer": public_pem(signer).decode(),
            "recipients": (public_pem(recipient).decode(),),
        }


def render_tree(
    folder: Path,
    description: ModelDescription,
    language_model: Path | None = None,
    target: str = "onnxruntime",
    *,
    wheels: Path | None = None,
    keys: Keys | None = None,
    graphs: Mapping[str, bytes] | None = None,
    recipe: Mapping[str, Any] = RECIPE,
    records: Mapping[str, Any] = RECORDS,
) -> Path:
    """The tree around a tiny model, ``folder/tree``, and the encrypted model, ``folder/model``."""
    keys = keys or Keys.generate()
    (folder / "graphs").mkdir(parents=True)
    for name, graph in (graphs or tiny.graphs()).items():
        for file in graph_files(target, [name.removesuffix(".onnx")]):
            (folder / "graphs" / file).write_bytes(graph)
    (folder / "model.json").write_text(description.to_json(), encoding="utf-8")
    (folder / "evaluation.json").write_text(json.dumps(EVALUATION), encoding="utf-8")
    (folder / "gate.json").write_text('{"ok": true}', encoding="utf-8")
    (folder / "test.jsonl").write_text("{}\n", encoding="utf-8")
    (folder / "records.json").write_text(json.dumps(records), encoding="utf-8")
    inputs = {
        "graphs": folder / "graphs",
        "description": folder / "model.json",
        "evaluation": folder / "evaluation.json",
        "gate": folder / "gate.json",
        "records": folder / "records.json",
        "source": folder / "graphs",
        "manifest": folder / "test.jsonl",
        "templates": templates_folder("bundle"),
    }
    if language_model is not None:
        inputs["language_model"] = language_model
    if wheels is not None:
        inputs["wheels"] = wheels
    stage = Encrypt()
    public = stage.Params.model_validate(keys.public())
    stage.run(public, inputs, folder, Context())
    names = {"name": "tiny", "version": "1.0", "build": "cpu"}
    render = Render()
    params = render.Params.model_validate(
        {**names, "target": target, "precision": "fp32", "recipe": recipe}
    )
    render.run(params, {**inputs, "model": folder / "model"}, folder, Context())
    return folder / "tree"


def seal_tree(folder: Path, keys: Keys) -> Path:
    """Signs what :func:`render_tree` made in ``folder``: ``folder/bundle``."""
    inputs = {"tree": folder / "tree", "model": folder / "model"}
    Seal().run(Seal.Params(), inputs, folder, Context(secrets={"key": keys.signing}))
    return folder / "bundle"
