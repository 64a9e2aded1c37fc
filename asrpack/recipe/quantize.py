"""The recipe's ``builds.NAME.quantize`` and ``builds.NAME.search`` sections."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from asrpack.recipe.section import Section

Pattern = Annotated[str, Field(min_length=1)]


class Quantize(Section):
    """How weights and activations become integers."""

    method: Literal["dynamic", "weight_only"] | None = Field(
        default=None,
        description="`dynamic` (int8 without this option) rounds activations while the graph "
        "runs, a step for each tensor. `weight_only` (int4 without it) stores weights in blocks "
        "with a step each: less memory, and the better choice where a stream or a small device "
        "waits for weights.",
    )
    block_size: Literal[32, 64, 128, 256] | None = Field(
        default=None,
        description="Of `weight_only`: how many weights share a step, 128 without it. Fewer are "
        "more exact, larger and slower.",
    )
    exclude: tuple[Pattern, ...] | None = Field(
        default=None,
        description="Shell patterns (`*`, `?`) of the names of nodes or weights that stay floats. "
        "Without it the output layers do; a list replaces that default, and an empty list "
        "quantizes everything.",
    )

    def options(self) -> dict[str, Any]:
        """Of the quantize stage; None where its own default counts."""
        return self.model_dump()


class Search(Section):
    """How long ``precision: auto`` looks for the layers that must stay fp32."""

    seconds: float = Field(
        default=900.0,
        gt=0,
        description="Time budget; when it is over the best configuration found so far is taken. A "
        "build that was stopped goes on with what was measured.",
    )
