"""Puts the recipe's decoding options over the model's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from asrpack.bundle.model import ModelDescription, NgramWeights
from asrpack.errors import InputError
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage


class ConfigureParams(stage.Params):
    """None: as the model has it."""

    method: str | None = None
    beam_size: int | None = None
    ctc_weight: float | None = None
    reverse_weight: float | None = None
    ngram: dict[str, float | int] | None = None
    chunk_size: int | None = None
    left_chunks: int | None = None


class Configure(Stage):
    """``model.json`` as it ships.

    A stage of its own, so that another beam or chunk size exports nothing.
    """

    name: ClassVar[str] = "configure"
    outputs: ClassVar[tuple[str, ...]] = ("model.json",)
    Params: ClassVar[type[stage.Params]] = ConfigureParams

    def run(
        self, params: ConfigureParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        description = ModelDescription.read(inputs["description"])
        given = params.model_dump(exclude_none=True)
        chunks = {name: given.pop(name) for name in ("chunk_size", "left_chunks") if name in given}
        if "ngram" in given:
            given["ngram"] = NgramWeights(**given["ngram"])
        decode = replace(description.decode, **given)
        description = replace(description, decode=decode)
        if decode.method not in description.methods:
            raise InputError(
                f"the model cannot be decoded by {decode.method}",
                code="no-decoder",
                place="decode.method",
                remedy=f"set `decode: {{method: …}}` in the recipe to one of "
                f"{', '.join(description.methods)}",
            )
        streaming = description.streaming and replace(description.streaming, **chunks)
        longest = description.max_frames
        if streaming and longest is not None and streaming.chunk_size > longest:
            raise InputError(
                f"a chunk of {streaming.chunk_size} frames is longer than the {longest} that the "
                "model takes",
                code="chunk-size",
                place="streaming.chunk_size",
                remedy="set `streaming: {chunk_size: 16}` in the recipe",
            )
        configured = replace(description, streaming=streaming)
        (out / "model.json").write_text(configured.to_json())
