"""The recipe's ``builds.NAME.quantize`` and ``builds.NAME.search`` sections."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from asrpack.recipe.section import Section

Pattern = Annotated[str, Field(min_length=1)]


class Quantize(Section):
    """How weights and activations become integers."""

    exclude: tuple[Pattern, ...] | None = Field(
        default=None,
        description="Shell patterns (`*`, `?`) of the names of nodes or weights that stay fp32. "
        "Without it the output layers stay fp32; a list replaces that default, and an empty list "
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
