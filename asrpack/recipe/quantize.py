"""The recipe's ``builds.NAME.quantize`` and ``builds.NAME.search`` sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from asrpack.recipe.section import Section

Pattern = Annotated[str, Field(min_length=1)]
Operator = Literal["matmul", "conv", "depthwise_conv", "attention", "output"]
Observer = Literal["minmax", "entropy", "percentile", "hist", "kl", "mse", "avg", "emd"]

# They run over the Paddle network; the others, which are ONNX Runtime's, over the graph.
PADDLESLIM_OBSERVERS = ("hist", "kl", "mse", "avg", "emd")
# That each method knows.
CPUS = {
    "dynamic": ("any", "avx2"),
    "static": ("any", "vnni", "avx2", "arm64"),
    "weight_only": ("any",),
}
OPERATORS = {
    "dynamic": ("matmul", "conv", "output"),
    "static": ("matmul", "conv", "depthwise_conv", "attention", "output"),
    "weight_only": ("matmul", "output"),
}


class Quantize(Section):
    """How weights and activations become integers."""

    method: Literal["dynamic", "static", "weight_only"] | None = Field(
        default=None,
        description="How activations are treated: `dynamic` (int8 without this option) finds their "
        "range while the model runs, a step for each tensor; `static`, before, on the calibration "
        "set; `weight_only` (int4 without it) stores weights in blocks with a step each: less "
        "memory, and the better choice where a stream or a small device waits for weights.",
    )
    block_size: Literal[32, 64, 128, 256] | None = Field(
        default=None,
        description="Of `weight_only`: how many weights share a step, 128 without it. Fewer are "
        "more exact, larger and slower.",
    )
    observer: Observer | None = Field(
        default=None,
        description="Static only: what finds the ranges. ONNX Runtime's `minmax` (the default), "
        "`entropy`, `percentile`; PaddleSlim's `hist`, `kl`, `mse`, `avg`, `emd`, for models of "
        "PaddleSpeech.",
    )
    percentile: float | None = Field(
        default=None,
        ge=90,
        le=100,
        description="With `observer: percentile` only: the share of the numbers that a range "
        "covers, in percent. Without it: 99.99.",
    )
    smooth: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="SmoothQuant's alpha: how much of the difference between an activation's "
        "channels moves into the weights, found on the calibration set; 0.5 is usual. Without it: "
        "none.",
    )
    operators: tuple[Operator, ...] | None = Field(
        default=None,
        min_length=1,
        description="What is quantized: `matmul` (matrix products by weights), `conv`, "
        "`depthwise_conv`, `attention` (products of two activations), `output` (the layers that "
        "make the scores). Without it: matmul and conv. `dynamic` has matmul, output and those "
        "conv without padding; `weight_only` matmul and output.",
    )
    include: tuple[Pattern, ...] | None = Field(
        default=None,
        min_length=1,
        description="Shell patterns (`*`, `?`) of the names of nodes or weights: of `operators`, "
        "only what they name is quantized.",
    )
    exclude: tuple[Pattern, ...] | None = Field(
        default=None,
        description="Shell patterns (`*`, `?`) of the names of nodes or weights that stay floats, "
        "besides the output layers.",
    )
    cpu: Literal["any", "vnni", "avx2", "arm64"] = Field(
        default="any",
        description="The CPUs that it is for: `any` and `vnni` have uint8 activations and int8 "
        "weights; `avx2` (x86-64 without VNNI) weights of 7 bits, whose sums do not saturate "
        "there; `arm64`, static only, int8 activations.",
    )

    @model_validator(mode="after")
    def _everything_has_an_effect(self) -> Quantize:
        for key, message, remedy in self._without_effect():
            raise PydanticCustomError(
                "quantize_without_effect", message, {"at": key, "remedy": remedy}
            )
        return self

    def _without_effect(self) -> Iterator[tuple[str, Any, str]]:
        """Key, message and remedy."""
        operators = self.operators or ()
        method = self.method or "dynamic"
        static = "take it out, or set `method: static`"
        if self.observer is not None and method != "static":
            yield "observer", f"has no effect with method {method}", static
        if unknown := [item for item in operators if item not in OPERATORS[method]]:
            yield "operators", f"has {unknown[0]}, which method {method} leaves as floats", static
        if self.cpu not in CPUS[method]:
            yield "cpu", f"{self.cpu} has no effect with method {method}", static
        if self.percentile is not None and self.observer != "percentile":
            yield (
                "percentile",
                "has no effect with another observer",
                "take it out, or set `observer: percentile`",
            )
        if "attention" in operators and self.observer in PADDLESLIM_OBSERVERS:
            yield (
                "operators",
                f"has attention, and the observer {self.observer} sees layers with weights only",
                "take attention out, or choose one of ONNX Runtime's observers",
            )

    @property
    def needs_calibration(self) -> str | None:
        """The option that calibration data is needed for, with its value."""
        if self.method == "static":
            return "method"
        return "smooth" if self.smooth is not None else None

    def options(self) -> dict[str, Any]:
        """Of the quantize stage; None where its own default counts."""
        return self.model_dump(exclude={"observer", "percentile", "smooth"})


class Search(Section):
    """How long ``precision: auto`` looks for the layers that must stay fp32."""

    seconds: float = Field(
        default=900.0,
        gt=0,
        description="Time budget; when it is over the best configuration found so far is taken. A "
        "build that was stopped goes on with what was measured.",
    )
