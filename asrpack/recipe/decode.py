"""The recipe's ``decode`` section."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from asrpack.recipe.section import Fraction, RecipePath, Section

DecodeMethod = Literal[
    "ctc_greedy_search",
    "ctc_prefix_beam_search",
    "ctc_beam_search",
    "attention",
    "attention_rescoring",
]


class LanguageModel(Section):
    """An n-gram language model for ``ctc_beam_search``; it ships in the bundle, encrypted."""

    path: RecipePath = Field(description="An ARPA file, or what KenLM's build_binary makes of it.")
    alpha: float | None = Field(
        default=None,
        ge=0,
        description="Weight of the language model's log10 probability. Without it: what the model "
        "was tuned with, or 1.9.",
    )
    beta: float | None = Field(
        default=None,
        description="Bonus for each word, of a character model for each unit. Without it: what "
        "the model was tuned with, or 5.",
    )
    cutoff_prob: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Per frame, only the likeliest units that together reach it are tried. "
        "Without it: the model's own, or 1.",
    )
    cutoff_top_n: int | None = Field(
        default=None,
        ge=1,
        description="And of these at most so many. Without it: the model's own, or 40.",
    )


class Decode(Section):
    """Decoding options that replace the model's own."""

    method: DecodeMethod | None = Field(
        default=None, description="The decoding method that the bundle uses by default."
    )
    beam_size: int | None = Field(
        default=None, ge=1, le=1000, description="Hypotheses kept by the beam searches."
    )
    ctc_weight: float | None = Field(
        default=None, ge=0, description="Weight of the CTC score in attention rescoring."
    )
    reverse_weight: Fraction | None = Field(
        default=None,
        description="Part of the right-to-left decoder in attention rescoring, for models with a "
        "bitransformer; above 0 that decoder ships, too.",
    )
    language_model: LanguageModel | None = Field(
        default=None, description="The n-gram language model of ctc_beam_search."
    )

    @model_validator(mode="after")
    def _language_model_is_used(self) -> Decode:
        if self.method == "ctc_beam_search" and self.language_model is None:
            raise PydanticCustomError(
                "no_language_model",
                "is ctc_beam_search, which searches with a language model, and none is given",
                {
                    "at": "method",
                    "remedy": "add `language_model: {path: …}`, or set `ctc_prefix_beam_search`",
                },
            )
        return self

    def options(self) -> dict[str, Any]:
        """Of the stages that configure a model; None where the model's own counts."""
        found = self.model_dump(exclude={"language_model"})
        if self.language_model is not None:
            found["ngram"] = self.language_model.model_dump(exclude={"path"}, exclude_none=True)
        return found
