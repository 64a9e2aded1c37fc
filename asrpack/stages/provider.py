"""Sets up the provider of a build for GPUs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from asrpack.bundle.model import ModelDescription
from asrpack.bundle.provider import ProviderSpec
from asrpack.networks.profile_shapes import Profile, profile_shapes
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage


class ProviderParams(stage.Params):
    """As :class:`ProviderSpec` has them.

    Attributes:
        options: of the target, without profiles.
        batch, seconds: of the profile, where the target is tensorrt: opt, max.
    """

    target: str
    options: dict[str, Any]
    fallback: bool = False
    batch: tuple[int, int] | None = None
    seconds: tuple[float, float] | None = None


class Provider(Stage):
    """``provider.json``: what ``asrpack.json`` will say of it, with the shapes of every input."""

    name: ClassVar[str] = "provider"
    revision: ClassVar[int] = 2
    outputs: ClassVar[tuple[str, ...]] = ("provider.json",)
    Params: ClassVar[type[stage.Params]] = ProviderParams

    def run(
        self, params: ProviderParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Reads ``description``, the configured one.

        Raises:
            InputError: the profile is of longer utterances than the model takes.
        """
        options = dict(params.options)
        if params.batch is not None and params.seconds is not None:
            profile = Profile(params.batch, params.seconds)
            shapes = profile_shapes(ModelDescription.read(inputs["description"]), profile)
            options["profiles"] = {
                graph: {name: vars(item) for name, item in ranges.items()}
                for graph, ranges in shapes.items()
            }
        raw = {"target": params.target, "options": options, "fallback": params.fallback}
        spec = ProviderSpec.from_dict(raw)
        (out / "provider.json").write_text(json.dumps(spec.as_dict(), indent=1, sort_keys=True))


def read_provider(inputs: Mapping[str, Path]) -> ProviderSpec | None:
    """The provider among a stage's inputs; None where the build is for CPUs."""
    if "provider" not in inputs:
        return None
    return ProviderSpec.from_dict(json.loads(inputs["provider"].read_bytes()))
