"""Decodes a test set with PaddleSpeech itself, so that a build can be compared with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from asrpack.bundle.model import DECODE_METHODS
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage


class ReferenceParams(stage.Params):
    """``method`` is decoded besides ``methods``; None leaves an option as the model has it."""

    checkpoint: str | None = None
    methods: tuple[str, ...] = DECODE_METHODS
    method: str | None = None
    beam_size: int | None = None
    ctc_weight: float | None = None
    reverse_weight: float | None = None


class Reference(Stage):
    """``reference.json``: ``versions``, and ``utterances``: PaddleSpeech's text by method."""

    name: ClassVar[str] = "reference"
    outputs: ClassVar[tuple[str, ...]] = ("reference.json",)
    tools: ClassVar[tuple[str, ...]] = ("paddlespeech", "paddlepaddle", "numpy", "soundfile")
    isolated: ClassVar[bool] = True
    timeout: ClassVar[float] = 6 * 3600.0
    Params: ClassVar[type[stage.Params]] = ReferenceParams

    def run(
        self, params: ReferenceParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        from asrpack.frontends.model_directory import find_checkpoint
        from asrpack.measure.oracle import open_paddlespeech
        from asrpack.measure.paddlespeech import Options
        from asrpack.recipe.manifest import read_manifest

        model = inputs["model"]
        utterances = read_manifest(inputs["manifest"])
        oracle = open_paddlespeech(model, find_checkpoint(model, params.checkpoint))
        wanted = dict.fromkeys((*params.methods, *filter(None, [params.method])))
        methods = [method for method in wanted if method in oracle.methods]
        options = Options(
            beam_size=params.beam_size,
            ctc_weight=params.ctc_weight,
            reverse_weight=params.reverse_weight or 0.0,
        )
        texts = {}
        for index, utterance in enumerate(utterances):
            features = oracle.features(oracle.samples(utterance.audio))
            texts[utterance.id] = {
                method: oracle.decode(
                    features,
                    method,
                    options,
                )
                for method in methods
            }
            context.progress(index + 1, len(utterances), "PaddleSpeech")
        (out / "reference.json").write_text(
            json.dumps(
                {"versions": oracle.versions, "utterances": texts},
                ensure_ascii=False,
                indent=1,
                sort_keys=True,
            )
            + "\n",
            encoding="utf-8",
        )
