"""Puts the recipe's decoding options over the model's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import ClassVar

from asrpack.bundle.model import ModelDescription, NgramWeights
from asrpack.errors import InputError
from asrpack.frontends.paddlespeech_deepspeech2 import FAMILY as DEEPSPEECH2
from asrpack.networks.profile_shapes import longest_utterance
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage


class ConfigureParams(stage.Params):
    """None: as the model has it.

    Attributes:
        ngram: fields of :class:`NgramWeights`; those that are not there: as the model has them.
            None where there is no language model.
        max_seconds: of one recording, where what runs the model takes no longer ones.
    """

    method: str | None = None
    beam_size: int | None = None
    ctc_weight: float | None = None
    reverse_weight: float | None = None
    ngram: dict[str, float | int] | None = None
    chunk_size: int | None = None
    left_chunks: int | None = None
    max_seconds: float | None = None


class Configure(Stage):
    """``model.json`` as it ships.

    A stage of its own, so that another beam or chunk size exports nothing.
    """

    name: ClassVar[str] = "configure"
    revision: ClassVar[int] = 2
    outputs: ClassVar[tuple[str, ...]] = ("model.json",)
    Params: ClassVar[type[stage.Params]] = ConfigureParams

    def run(
        self, params: ConfigureParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        description = ModelDescription.read(inputs["description"])
        given = params.model_dump(exclude_none=True)
        chunks = {name: given.pop(name) for name in ("chunk_size", "left_chunks") if name in given}
        max_seconds = given.pop("max_seconds", None)
        if "ngram" in given:
            if description.unit_type != "char":
                raise InputError(
                    f"the model's units are of type {description.unit_type}; a language model is "
                    "searched with character by character",
                    code="language-model-units",
                    place="decode.language_model",
                    remedy="take `language_model` out of the recipe",
                )
            given["ngram"] = NgramWeights(**{**_tuned(description), **given["ngram"]})
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
        if max_seconds is not None:
            most = longest_utterance(configured, max_seconds)
            configured = replace(configured, max_frames=most)
        (out / "model.json").write_text(configured.to_json())


def _tuned(description: ModelDescription) -> dict[str, float | int]:
    """The language model's weights that a DeepSpeech2 model was tuned with.

    Not where it was tuned without a language model: its weights are of nothing then. PaddleSpeech
    takes a weight that is not in the file as 0, and a 0 can be no one's choice.
    """
    search = description.network.get("search", {}) if description.family == DEEPSPEECH2 else {}
    if not search.get("lang_model_path"):
        return {}
    return {item.name: search[item.name] for item in fields(NgramWeights) if search[item.name]}
