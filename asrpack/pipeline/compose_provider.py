"""The provider of a build for GPUs: its node, and whether this host can measure on it."""

from __future__ import annotations

from typing import Any

from asrpack.bundle.provider import CPU
from asrpack.errors import ToolchainError
from asrpack.pipeline.compose_source import node
from asrpack.pipeline.node import Node, Output
from asrpack.recipe.gpu import Tensorrt
from asrpack.recipe.load import LoadedRecipe
from asrpack.recipe.schema import Build
from asrpack.runtime.providers import NAMES
from asrpack.stages.provider import Provider

PROVIDER = Output("provider", "provider.json")


def provider_node(variant: Build, description: Output) -> Node:
    """``provider.json`` of a build whose target is a GPU."""
    options = variant.gpu.model_dump(exclude={"profile"}, exclude_none=True)
    profile: dict[str, Any] = {}
    if isinstance(variant.gpu, Tensorrt):
        options["fp16"] = variant.precision == "fp16"
        shapes = variant.gpu.profile
        profile = {
            "batch": (shapes.batch.opt, shapes.batch.max),
            "seconds": (shapes.seconds.opt, shapes.seconds.max),
        }
    return node(
        Provider(),
        {"description": description},
        target=variant.target,
        options=options,
        fallback=variant.fallback == "cpu",
        **profile,
    )


def measured_on(variant: Build) -> str | None:
    """The provider that this host measures a build on; None where the target is the CPU anyway."""
    if not variant.on_gpu:
        return None
    return CPU if _fault(variant) else NAMES[variant.target]


def check_measurable(loaded: LoadedRecipe, build: str) -> None:
    """Whether a build can be measured on this host, before anything runs.

    Raises:
        ToolchainError: its provider does not work here, and the recipe does not allow the CPU.
    """
    variant = loaded.recipe.builds[build]
    if measured_on(variant) != CPU or variant.fallback == "cpu":
        return
    raise ToolchainError(
        f"build {build} would be measured on {NAMES[variant.target]}, which does not work on this "
        f"host: {_fault(variant)}",
        code="provider-missing",
        place=loaded.place(("builds", build, "target")),
        remedy="build on a host with the GPU; or set `fallback: cpu`, to measure on the CPU and to "
        "let the bundle run there; or stop before, with `--until quantize`",
    )


def _fault(variant: Build) -> str | None:
    # Here: it imports onnxruntime, which plans for CPUs do without.
    from asrpack.runtime.provider_probe import provider_fault

    return provider_fault(variant.target, variant.gpu.device_id)
