"""The recipe: what a user asks for. Strict: an unknown key or a wrong type is an error.

The models document themselves: ``asrpack schema`` prints their descriptions as JSON Schema, and
an error's remedy quotes them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from asrpack.bundle.secrets import SecretSource
from asrpack.recipe.bundle import Bundle
from asrpack.recipe.card import Considerations, License
from asrpack.recipe.decode import Decode, DecodeMethod
from asrpack.recipe.gate import Gate
from asrpack.recipe.gpu import Cuda, Tensorrt
from asrpack.recipe.model_source import Model
from asrpack.recipe.quantize import Quantize, Search
from asrpack.recipe.section import RecipePath, Section

MAX_RECIPIENTS = 64

Target = Literal["onnxruntime", "paddle_inference", "cuda", "tensorrt"]
Precision = Literal["fp32", "fp16", "int8", "int4", "auto"]
# Each has a section of its name.
GPU_TARGETS = ("cuda", "tensorrt")

FileNamePart = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=64)]
# No dot: `--set builds.NAME.precision=…` separates with dots.
BuildName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]


class ManifestSource(Section):
    """A set of utterances."""

    manifest: RecipePath = Field(
        description="JSON lines with `audio`, `text` and perhaps `utt` (or PaddleSpeech's `utt`, "
        "`feat`, `text`); audio paths are relative to the manifest."
    )
    license: License | None = Field(
        default=None,
        description="The recordings' licence, as an SPDX expression such as CC-BY-4.0, or in "
        "words. With `name` and `url` it goes into the bill of materials.",
    )
    name: str | None = Field(
        default=None, min_length=1, max_length=200, description="What the set is called."
    )
    url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        max_length=2000,
        description="Where the set comes from.",
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

    target: Target = Field(
        description="What runs the model: `onnxruntime` on the CPU, its CUDA or TensorRT provider "
        "on an NVIDIA GPU (`cuda`, `tensorrt`), or `paddle_inference` on the CPU, for hosts that "
        "have Paddle."
    )
    precision: Precision = Field(
        description="Number format of the weights: fp32 as trained, fp16 half the size, int8 a "
        "quarter (of the matrix products), int4 a fifth; auto: int8 but for layers that must stay "
        "fp32 to keep `gate.error_rate.max_increase` on the calibration set. Paddle Inference "
        "makes fp32 of the weights when it loads them."
    )
    quantize: Quantize = Field(
        default=Quantize(),
        description="How int8 and int4 quantize; without it, as is safe for most.",
    )
    search: Search | None = Field(
        default=None, description="auto only: how long to look; without it, 15 minutes."
    )

    cuda: Cuda | None = Field(default=None, description="Options of the target cuda.")
    tensorrt: Tensorrt | None = Field(default=None, description="Options of the target tensorrt.")
    fallback: Literal["cpu"] | None = Field(
        default=None,
        description="What may stand in for the GPU, where the model is measured and where it "
        "runs. Without it a host that has none is an error.",
    )

    @property
    def on_gpu(self) -> bool:
        """Whether the target is a GPU."""
        return self.target in GPU_TARGETS

    @property
    def graph_precision(self) -> Precision:
        """Of the graphs that ship.

        TensorRT gets fp32 ones and halves by itself, layer by layer; it keeps those in fp32 that
        would overflow.
        """
        return "fp32" if self.target == "tensorrt" else self.precision

    @property
    def gpu(self) -> Cuda | Tensorrt:
        """The options of a target on a GPU."""
        return self.cuda or self.tensorrt or {"cuda": Cuda, "tensorrt": Tensorrt}[self.target]()

    @model_validator(mode="after")
    def _options_are_of_the_target(self) -> Build:
        for name in GPU_TARGETS:
            if getattr(self, name) is not None and self.target != name:
                raise _beside_target(name, self.target, f"`target: {name}`")
        if self.fallback is not None and not self.on_gpu:
            raise _beside_target("fallback", self.target, "a target on a GPU")
        return self

    @model_validator(mode="after")
    def _integers_need_a_cpu(self) -> Build:
        if self.on_gpu and self.precision not in ("fp32", "fp16"):
            raise PydanticCustomError(
                "integers_target",
                "is {precision}, which is quantized for CPUs here: {target} would need calibrated "
                "scales",
                {
                    "precision": self.precision,
                    "target": self.target,
                    "at": "precision",
                    "remedy": "set `precision: fp16`",
                },
            )
        return self

    @model_validator(mode="after")
    def _paddle_makes_floats_of_weights(self) -> Build:
        if self.target == "paddle_inference" and self.precision in ("int4", "auto"):
            raise PydanticCustomError(
                "paddle_precision",
                "is not for Paddle Inference, which makes fp32 of all weights when it loads them",
                {"at": "precision", "remedy": "set `precision: int8`, or `target: onnxruntime`"},
            )
        return self

    @model_validator(mode="after")
    def _only_exclude(self) -> Build:
        """Where the build's precision or target leaves nothing else to choose."""
        of = "target paddle_inference" if self.target == "paddle_inference" else "precision auto"
        if self.precision != "auto" and self.target != "paddle_inference":
            return self
        for name in sorted(self.quantize.model_fields_set - {"exclude"}):
            raise PydanticCustomError(
                "quantize_option",
                "has no effect with {of}, which takes `exclude` only",
                {"of": of, "at": f"quantize.{name}", "remedy": f"take `{name}` out"},
            )
        return self

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
        if self.search is not None and self.precision != "auto":
            raise PydanticCustomError(
                "search_precision",
                "has no effect with precision {precision}",
                {
                    "precision": self.precision,
                    "at": "search",
                    "remedy": "take `search` out, or set `precision: auto`",
                },
            )
        return self

    @model_validator(mode="after")
    def _method_fits(self) -> Build:
        how = self.quantize
        if self.precision == "int4" and how.method in ("dynamic", "static"):
            raise PydanticCustomError(
                "int4_method",
                "is no method of int4, whose products take floats",
                {"at": "quantize.method", "remedy": "set `precision: int8`, or take `method` out"},
            )
        if how.block_size and self.precision == "int8" and how.method != "weight_only":
            raise PydanticCustomError(
                "block_size_method",
                "is an option of blocks, and int8 by channels has a step for each channel",
                {
                    "at": "quantize.block_size",
                    "remedy": "add `method: weight_only` beside it, or take `block_size` out",
                },
            )
        return self


def _beside_target(name: str, target: str, wanted: str) -> PydanticCustomError:
    return PydanticCustomError(
        "target_options",
        "has no effect with target {target}",
        {"target": target, "at": name, "remedy": f"take `{name}` out, or set {wanted}"},
    )


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
        default=0, ge=0, le=1024, description="Threads of one operator; 0: one for each core."
    )


class Secret(Section):
    """Where a private key comes from: exactly one of a file, a variable, a command or a URI."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})
    file: RecipePath | None = Field(default=None, description="A file that holds the key.")
    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = Field(
        default=None, description="Name of the environment variable that holds the key."
    )
    command: str | None = Field(
        default=None, min_length=1, description="A command that prints the key (run without shell)."
    )
    uri: Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]+:")] | None = Field(
        default=None,
        description="A key that a provider has, e.g. `pkcs11:token=vendor;object=signing?"
        "pin-source=env:HSM_PIN` in a token.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Secret:
        if len(self.model_fields_set) != 1:
            raise PydanticCustomError(
                "secret_sources",
                "must have exactly one of `file`, `env`, `command`, `uri`",
                {"remedy": "say where the key is, once, e.g. `{file: keys/vendor.pem}`"},
            )
        return self

    def source(self) -> SecretSource:
        """The reference in the form that reads it."""
        if self.file is not None:
            return SecretSource("file", str(self.file))
        if self.env is not None:
            return SecretSource("env", self.env)
        if self.command is not None:
            return SecretSource("command", self.command)
        assert self.uri is not None  # _exactly_one
        return SecretSource("uri", self.uri)


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

    key: Secret = Field(
        description="The vendor's signing key (ECDSA P-256 or P-384), by reference."
    )
    post_quantum: Secret | None = Field(
        default=None,
        description="The vendor's ML-DSA-65 key, by reference: it signs, too, in a file of its "
        "own, which a host whose trust policy pins the key demands.",
    )


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
    considerations: Considerations | None = Field(
        default=None, description="Whom and what the model is for: goes into the model card."
    )
    bundle: Bundle = Field(
        default=Bundle(), description="What ships besides the model and its runtime."
    )
    protect: Protect = Field(description="Watermark, recipients and signature.")

    @model_validator(mode="after")
    def _search_has_a_bound_and_data(self) -> Recipe:
        names = [name for name, build in self.builds.items() if build.precision == "auto"]
        rate = self.gate.error_rate
        if not names:
            return self
        if rate is None or rate.max_increase is None:
            raise PydanticCustomError(
                "auto_unbounded",
                "has precision auto, but nothing says how much the error rate may rise",
                {
                    "at": f"builds.{names[0]}",
                    "remedy": "add `gate: {error_rate: {max_increase: 0.002}}`, 0.2 % absolute",
                },
            )
        if self.data.calibration is None:
            raise PydanticCustomError(
                "auto_blind",
                "has precision auto, but there is no calibration set to search on",
                {
                    "at": f"builds.{names[0]}",
                    "remedy": "add `data: {calibration: {manifest: …}}`, speech apart from the "
                    "test set",
                },
            )
        return self

    @property
    def right_to_left(self) -> bool:
        """Whether the model's right-to-left decoder is asked for."""
        return bool(self.decode.reverse_weight)
