"""What ships in a bundle besides the model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from asrpack.recipe.section import Section

Platform = Literal["linux/amd64", "linux/arm64"]


class Bundle(Section):
    """What a bundle holds besides what it always does."""

    wheels: tuple[Platform, ...] = Field(
        default=(),
        description="Platforms whose wheels of the runtime's requirements ship in the bundle, "
        "about 50 MB each, so that it is installed and its image built without a network: "
        "`linux/amd64`, `linux/arm64`. The build downloads them with pip, from the index that pip "
        "is configured for.",
    )
    golden: int = Field(
        default=0,
        ge=0,
        le=20,
        description="So many recordings of the test set ship, encrypted for the recipients, with "
        "the texts that the build recognised: `selftest` then says whether a host's CPU gives the "
        "same. None unless given: a recording may be somebody's.",
    )
