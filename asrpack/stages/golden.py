"""golden: a few utterances of the test set with their texts, for the bundle's self-test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from asrpack.bundle.model import GOLDEN_FILE
from asrpack.errors import InputError
from asrpack.runtime.golden import Golden, GoldenUtterance
from asrpack.stages import stage


class GoldenParams(stage.Params):
    """How many utterances."""

    count: int


class RecordGolden(stage.Stage):
    """Leaves ``golden.json``: recordings as their files have them, and what the model made of them.

    Of the shorter half of the test set, evenly over their lengths: they ship, and every self-test
    runs them. Those in which nothing was recognised tell nothing.
    """

    name = "golden"
    outputs = (GOLDEN_FILE,)
    tools = ("soundfile",)
    Params: ClassVar[type[stage.Params]] = GoldenParams

    def run(
        self, params: GoldenParams, inputs: Mapping[str, Path], out: Path, context: stage.Context
    ) -> None:
        """Inputs: ``evaluation``, ``manifest``. Raises InputError where nothing was recognised."""
        import numpy as np
        import soundfile

        from asrpack.recipe.manifest import read_manifest

        evaluation = json.loads(inputs["evaluation"].read_bytes())
        texts = {item["utt"]: item["candidate"] for item in evaluation["utterances"]}
        audio = {
            item.id: item.audio
            for item in read_manifest(inputs["manifest"])
            if all(texts[item.id].values())
        }
        if not audio:
            raise InputError(
                "no utterance of the test set was recognised by every method",
                code="golden-empty",
                place="data.test",
                remedy="take `golden` out of `bundle`, or see what the evaluation says",
            )
        ordered = sorted(audio, key=lambda name: (soundfile.info(audio[name]).duration, name))
        shorter = ordered[: max(params.count, (len(ordered) + 1) // 2)]
        picks = np.linspace(0, len(shorter) - 1, min(params.count, len(shorter))).round()
        chosen = [shorter[int(index)] for index in picks]
        utterances = (GoldenUtterance(audio[name].read_bytes(), texts[name]) for name in chosen)
        golden = Golden(_host(evaluation["timing"]["host"]), tuple(utterances))
        (out / GOLDEN_FILE).write_bytes(golden.to_json())


def _host(host: Mapping[str, Any]) -> str:
    parts = (host.get("cpu"), host["machine"], *host["int8_features"])
    return ", ".join(part for part in parts if part)
