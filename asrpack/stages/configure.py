"""Puts the recipe's decoding options over the model's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from asrpack.bundle.model import ModelDescription
from asrpack.errors import InputError
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage


class ConfigureParams(stage.Params):
    """None: as the model has it."""

    method: str | None = None
    beam_size: int | None = None
    ctc_weight: float | None = None


class Configure(Stage):
    """``model.json`` as it ships. A stage of its own, so that another beam size exports nothing."""

    name: ClassVar[str] = "configure"
    outputs: ClassVar[tuple[str, ...]] = ("model.json",)
    Params: ClassVar[type[stage.Params]] = ConfigureParams

    def run(
        self, params: ConfigureParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        description = ModelDescription.read(inputs["description"])
        decode = replace(description.decode, **params.model_dump(exclude_none=True))
        if decode.method not in description.methods:
            raise InputError(
                f"{decode.method} needs a decoder, and the model has none",
                code="no-decoder",
                place="decode.method",
                remedy="set `decode: {method: ctc_prefix_beam_search}` in the recipe",
            )
        (out / "model.json").write_text(replace(description, decode=decode).to_json())
