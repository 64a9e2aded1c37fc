"""What a recipe says for the bill of materials: licences, and what the model is for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from asrpack.recipe.section import Section

Text = Annotated[str, Field(min_length=1, max_length=2000)]
License = Annotated[str, Field(min_length=1, max_length=2000)]


class Considerations(Section):
    """Whom and what the model is for, and what it cannot do: goes into the model card."""

    users: tuple[Text, ...] = Field(default=(), description="Who is meant to use the model.")
    use_cases: tuple[Text, ...] = Field(default=(), description="What it is meant for.")
    technical_limitations: tuple[Text, ...] = Field(
        default=(), description="What it cannot do, or does badly."
    )
    ethical_considerations: tuple[Text, ...] = Field(
        default=(), description="Whom its mistakes may harm, and how."
    )
