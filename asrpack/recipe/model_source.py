"""The recipe's ``model``: where it comes from, and what its files do not tell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from asrpack.recipe.card import License
from asrpack.recipe.section import RecipePath, Section

Name = Annotated[str, Field(min_length=1)]
_SOURCE = (
    "Where the model comes from: `paddlespeech`, `onnx` for a graph that was trained elsewhere, or "
    "`paddle` for files of Paddle Inference."
)
_NO_PATH = Path()
Scores = Literal["log_probabilities", "logits", "probabilities"]


class PaddleSpeechModel(Section):
    """A model as PaddleSpeech unpacks it."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["path"]}, {"required": ["tag"]}]}
    )
    source: Literal["paddlespeech"] = Field(description=_SOURCE)
    path: RecipePath = Field(
        default=_NO_PATH,
        description="The model's directory, as PaddleSpeech unpacks it: model.yaml at its root.",
    )
    tag: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="In place of `path`: a published model by PaddleSpeech's name, such as "
        "conformer_wenetspeech-zh-16k. PaddleSpeech, which must be installed, fetches it once.",
    )
    checkpoint: str | None = Field(
        default=None,
        min_length=1,
        description="Which checkpoint to take, as a path below the directory with or without "
        ".pdparams. Needed only where the directory holds several.",
    )
    license: License | None = Field(
        default=None,
        description="The model's licence, as an SPDX expression such as Apache-2.0, or in words: "
        "goes into the bill of materials.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> PaddleSpeechModel:
        if (self.path == _NO_PATH) == (self.tag is None):
            raise PydanticCustomError(
                "model_place",
                "must have exactly one of `path`, `tag`",
                {"remedy": "give the model's directory as `path`"},
            )
        return self


class Waveform(Section):
    """The graph takes samples."""

    sample_rate: int = Field(default=16000, ge=1000, le=192000, description="In Hz.")
    full_scale: float = Field(
        default=1.0,
        gt=0,
        description="What a sample of full scale is to the graph: 1 or 32768 (the int16 scale).",
    )


class Fbank(Section):
    """The graph takes Kaldi filterbanks, computed as the model was trained."""

    sample_rate: int = Field(default=16000, ge=1000, le=192000, description="In Hz.")
    num_mel_bins: int | None = Field(
        default=None, ge=1, le=1024, description="Without it: as many as the graph's input has."
    )
    frame_length_ms: float = Field(default=25.0, gt=0, description="Window, in milliseconds.")
    frame_shift_ms: float = Field(default=10.0, gt=0, description="Hop, in milliseconds.")
    preemphasis: float = Field(default=0.97, ge=0, lt=1, description="Kaldi's preemphasis.")
    low_freq: float = Field(default=20.0, ge=0, description="Lowest frequency, in Hz.")
    high_freq: float = Field(
        default=0.0, description="Highest frequency, in Hz; 0: half the rate; below 0: less that."
    )
    log_floor: float = Field(
        default=1.1920928955078125e-07, gt=0, description="Least energy before the logarithm."
    )
    window: Literal["povey", "hamming"] = Field(default="povey", description="Window function.")
    full_scale: float = Field(
        default=32768.0, gt=0, description="What a sample of full scale is: 1 or 32768."
    )
    stack: int = Field(
        default=1, ge=1, le=64, description="Neighbouring frames joined into one (low frame rate)."
    )
    stack_shift: int = Field(default=1, ge=1, le=64, description="Frames between two of those.")


class FrontEnd(Section):
    """What is computed from samples before the graph: exactly one of the two."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})
    waveform: Waveform | None = Field(
        default=None, description="Nothing: the graph takes samples and has its own front end."
    )
    fbank: Fbank | None = Field(default=None, description="Kaldi filterbanks, with these options.")

    @model_validator(mode="after")
    def _exactly_one(self) -> FrontEnd:
        if (self.waveform is None) == (self.fbank is None):
            raise PydanticCustomError(
                "front_ends",
                "must have exactly one of `waveform`, `fbank`",
                {"remedy": "say what the graph takes, e.g. `front_end: {waveform: {}}`"},
            )
        return self


class OnnxInputs(Section):
    """The graph's inputs, by their names in the file."""

    features: Name | None = Field(
        default=None, description="Features or samples. Without it: the only float input."
    )
    lengths: Name | None = Field(
        default=None,
        description="Valid frames or samples of each row. Without it: the only "
        "integer input that has one axis, if there is one.",
    )
    constants: dict[Name, float] = Field(
        default={},
        description="Further inputs and the number that each is always given, such as a language.",
    )


class OnnxOutputs(Section):
    """The graph's outputs, by their names in the file."""

    scores: Name | None = Field(
        default=None,
        description="A score for each frame and unit. Without it: the only output of three axes.",
    )
    lengths: Name | None = Field(
        default=None,
        description="Valid frames of each row. Without it: the only integer output.",
    )


class OnnxDetails(Section):
    """What a CTC graph's file does not tell; all of it is held against the graph."""

    unit_type: Literal["char", "word", "spm"] | None = Field(
        default=None,
        description="How units make a text: `char` joins them, `word` puts spaces between them, "
        "`spm` has `▁` where a word begins. Without it: spm where a unit has `▁`, else char.",
    )
    blank: Name | None = Field(
        default=None, description="The blank's unit. Without it: <blank>, <blk>, <b> or <eps>."
    )
    silent: tuple[Name, ...] = Field(
        default=(), strict=False, description="Units that are recognised but not written."
    )
    front_end: FrontEnd | None = Field(
        default=None, description="What is computed from samples before the graph."
    )
    inputs: OnnxInputs = Field(default=OnnxInputs(), description="The graph's inputs.")
    outputs: OnnxOutputs = Field(default=OnnxOutputs(), description="The graph's outputs.")
    scores: Scores | None = Field(
        default=None, description="What the scores are. Without it: as the graph's numbers tell."
    )
    max_seconds: float | None = Field(
        default=None, gt=0, description="The longest recording that the graph takes."
    )


class OnnxModel(OnnxDetails):
    """A CTC model trained elsewhere, as ONNX."""

    source: Literal["onnx"] = Field(description=_SOURCE)
    path: RecipePath = Field(
        description="The .onnx file, or the directory of an export that asrpack knows."
    )
    tokens: RecipePath | None = Field(
        default=None,
        description="The units, one a line, or `unit id` a line. Without it: tokens.txt, "
        "units.txt or words.txt beside the graph.",
    )
    license: License | None = Field(
        default=None,
        description="The model's licence, as an SPDX expression such as Apache-2.0, or in words: "
        "goes into the bill of materials.",
    )

    def details(self) -> OnnxDetails:
        """All but the files."""
        return _details(self)


class PaddleModel(OnnxDetails):
    """Paddle Inference files: asrpack's own export, or a CTC model that another exported."""

    source: Literal["paddle"] = Field(description=_SOURCE)
    path: RecipePath = Field(
        description="The directory: an artifact's paddle/ with its model.json, or a program "
        "(.json or the old .pdmodel) and its .pdiparams."
    )
    tokens: RecipePath | None = Field(
        default=None,
        description="The units, one a line, or `unit id` a line. Without it: tokens.txt, "
        "units.txt or words.txt in the directory.",
    )
    program: Name | None = Field(
        default=None, description="The program's name without suffix, where there are several."
    )
    license: License | None = Field(
        default=None,
        description="The model's licence, as an SPDX expression such as Apache-2.0, or in words: "
        "goes into the bill of materials.",
    )

    def details(self) -> OnnxDetails:
        """All but the files."""
        return _details(self)


def _details(model: OnnxDetails) -> OnnxDetails:
    return OnnxDetails.model_construct(
        **{name: getattr(model, name) for name in OnnxDetails.model_fields}
    )


Model = Annotated[PaddleSpeechModel | OnnxModel | PaddleModel, Field(discriminator="source")]
