"""The recipe: what a user asks for. Strict: an unknown key or a wrong type is an error.

The models document themselves: ``asrpack schema`` prints their descriptions as JSON Schema, and
an error's remedy quotes them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from asrpack.bundle.secrets import SecretSource
from asrpack.recipe.decode import Decode, DecodeMethod
from asrpack.recipe.model_source import Model
from asrpack.recipe.quantize import Quantize
from asrpack.recipe.section import Fraction, RecipePath, Section

MAX_RECIPIENTS = 64

Precision = Literal["fp32", "fp16", "int8"]

FileNamePart = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=64)]
# No dot: `--set builds.NAME.precision=…` separates with dots.
BuildName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]


class ManifestSource(Section):
    """A set of utterances."""

    manifest: RecipePath = Field(
        description="JSON lines with `audio`, `text` and perhaps `utt` (or PaddleSpeech's `utt`, "
        "`feat`, `text`); audio paths are relative to the manifest."
    )


class Data(Section):
    """The speech that a build reads."""

    calibration: ManifestSource | None = Field(
        default=None,
        description="Real speech on which every step of a build is compared with the step before; "
        "must not overlap with the test set. Without it the steps are compared on the test set.",
    )
    test: ManifestSource = Field(
        description="The set on which the finished model is measured, before anything ships."
    )


class Build(Section):
    """One variant of the model."""

    target: Literal["onnxruntime"] = Field(description="What runs the model.")
    precision: Precision = Field(
        description="Number format of the weights: fp32 as trained, fp16 half the size, int8 a "
        "quarter (of the matrix products, per channel)."
    )
    quantize: Quantize = Field(
        default=Quantize(), description="How int8 quantizes; without it, as is safe for most."
    )

    @model_validator(mode="after")
    def _quantize_needs_integers(self) -> Build:
        if "quantize" in self.model_fields_set and self.precision in ("fp32", "fp16"):
            raise PydanticCustomError(
                "quantize_precision",
                "has no effect with precision {precision}",
                {
                    "precision": self.precision,
                    "at": "quantize",
                    "remedy": "take `quantize` out, or set `precision: int8`",
                },
            )
        return self


class Streaming(Section):
    """Recognition while the audio arrives, besides whole recordings, by the same weights.

    The section's presence asks for it; the model must have been trained for it.
    """

    chunk_size: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Encoder frames of a chunk, 40 ms each where the model subsamples by 4: more "
        "is more exact and later. Without it: the model's own, or 16.",
    )
    left_chunks: int | None = Field(
        default=None,
        ge=-1,
        description="Chunks of history that attention sees, -1 for all: fewer is faster. Without "
        "it: the model's own.",
    )


class Evaluate(Section):
    """How the finished model is measured."""

    methods: tuple[DecodeMethod, ...] | None = Field(
        default=None,
        min_length=1,
        description="The decoding methods to measure. Without it: the default method only.",
    )
    oracle: Literal["none", "paddlespeech"] = Field(
        default="none",
        description="Whom to compare the text with, utterance by utterance: `paddlespeech` decodes "
        "the test set with PaddleSpeech itself, which must be installed.",
    )
    threads: int = Field(
        default=0, ge=0, le=1024, description="ONNX Runtime's threads; 0: one for each core."
    )


class ErrorRateGate(Section):
    """Bounds of the error rate on the test set."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["max"]}, {"required": ["max_increase"]}]}
    )
    metric: Literal["cer", "wer"] = Field(
        default="cer", description="Errors per character or per word."
    )
    max: Fraction | None = Field(
        default=None, description="The highest error rate, as a fraction: 0.08 is 8 %."
    )
    max_increase: Fraction | None = Field(
        default=None,
        description="The most that the error rate may rise over the fp32 model's, absolute, as a "
        "fraction: 0.002 is 0.2 %.",
    )

    @model_validator(mode="after")
    def _bounds_something(self) -> ErrorRateGate:
        if self.max is None and self.max_increase is None:
            raise PydanticCustomError(
                "gate_empty",
                "bounds nothing: neither `max` nor `max_increase` is given",
                {"remedy": "give one of them, or take `error_rate` out"},
            )
        return self


class DeletionsGate(Section):
    """Bound of deletions: damage done by quantization shows first as lost words."""

    max_increase: Fraction = Field(
        description="The most that deletions may rise over the fp32 model's, absolute, as a "
        "fraction of the reference: 0.001 is 0.1 %."
    )


class SpeedupGate(Section):
    """Bound of speed, measured against the fp32 model in the same run."""

    min: float = Field(gt=0, description="The least speed relative to fp32: 1.2 is 20 % faster.")


class SizeGate(Section):
    """Bound of the model's size."""

    max_ratio: float = Field(
        gt=0, description="The largest size relative to the fp32 model's, as a fraction."
    )


class Gate(Section):
    """What the finished model must meet; otherwise the build fails and keeps it as rejected."""

    error_rate: ErrorRateGate | None = Field(default=None, description="Bounds of the error rate.")
    deletions: DeletionsGate | None = Field(default=None, description="Bound of lost words.")
    speedup: SpeedupGate | None = Field(default=None, description="Bound of speed.")
    size: SizeGate | None = Field(default=None, description="Bound of size.")


class Secret(Section):
    """Where a private key comes from: exactly one of a file, a variable or a command."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})
    file: RecipePath | None = Field(default=None, description="A file that holds the key.")
    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = Field(
        default=None, description="Name of the environment variable that holds the key."
    )
    command: str | None = Field(
        default=None, min_length=1, description="A command that prints the key (run without shell)."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Secret:
        if len(self.model_fields_set) != 1:
            raise PydanticCustomError(
                "secret_sources",
                "must have exactly one of `file`, `env`, `command`",
                {"remedy": "say where the key is, once, e.g. `{file: keys/vendor.pem}`"},
            )
        return self

    def source(self) -> SecretSource:
        """The reference in the form that reads it."""
        if self.file is not None:
            return SecretSource("file", str(self.file))
        if self.env is not None:
            return SecretSource("env", self.env)
        assert self.command is not None  # _exactly_one
        return SecretSource("command", self.command)


class Watermark(Section):
    """A mark in the weights that tells whose copy leaked."""

    key: Secret = Field(description="The vendor's watermark key, by reference.")
    customer: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$",
        max_length=128,
        description="The customer's id, which the mark carries: letters, digits, `.`, `_`, `@`, "
        "`-`.",
    )
    strength: float = Field(
        default=0.05,
        gt=0,
        le=0.5,
        description="Strength of the mark relative to the spread of each row's weights.",
    )


class Recipient(Section):
    """Somebody who can open the bundle."""

    file: RecipePath = Field(description="The recipient's public key file.")


class Encrypt(Section):
    """Who can open the bundle."""

    recipients: tuple[Recipient, ...] = Field(
        min_length=1,
        max_length=MAX_RECIPIENTS,
        description=f"Public keys of those who can open the bundle, 1 to {MAX_RECIPIENTS}.",
    )


class Sign(Section):
    """Who vouches for the bundle."""

    key: Secret = Field(description="The vendor's signing key (ECDSA P-256), by reference.")


class Protect(Section):
    """How the bundle is protected. Nothing ships in the clear or unsigned."""

    watermark: Watermark | None = Field(
        default=None, description="A customer's mark in the weights."
    )
    encrypt: Encrypt = Field(description="Who can open the bundle.")
    sign: Sign = Field(description="Who vouches for the bundle.")


class Recipe(Section):
    """What to build, from which model, how to measure it and for whom.

    Relative paths are relative to the recipe file; `${NAME}` in a path is taken from the
    environment.
    """

    schema_: Literal[1] = Field(alias="schema", description="Version of the recipe's format: 1.")
    name: FileNamePart = Field(
        description="The bundle's name, part of file names: letters, digits, `.`, `_`, `+`, `-`."
    )
    version: FileNamePart = Field(
        description='The bundle\'s version, as text in quotes, e.g. "2.3.0": letters, digits, `.`, '
        "`_`, `+`, `-`."
    )
    model: Model = Field(description="The trained model to compile.")
    data: Data = Field(description="The speech that a build reads.")
    builds: dict[BuildName, Build] = Field(
        min_length=1,
        json_schema_extra={"additionalProperties": False},
        description="The variants to build, by name (letters, digits, `_`, `-`), e.g. "
        "`cpu: {target: onnxruntime, precision: int8}`.",
    )
    decode: Decode = Field(
        default=Decode(), description="Decoding options that replace the model's own."
    )
    streaming: Streaming | None = Field(
        default=None,
        description="Recognition while the audio arrives: `streaming: {}` has the model's own "
        "chunks. Without the section the bundle takes whole recordings only.",
    )
    evaluate: Evaluate = Field(
        default=Evaluate(), description="How the finished model is measured."
    )
    gate: Gate = Field(
        default=Gate(), description="What the finished model must meet, or the build fails."
    )
    protect: Protect = Field(description="Watermark, recipients and signature.")

    @property
    def right_to_left(self) -> bool:
        """Whether the model's right-to-left decoder is asked for."""
        return bool(self.decode.reverse_weight)
