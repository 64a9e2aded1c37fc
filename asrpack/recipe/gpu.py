"""The sections of a build for GPUs: ``cuda`` and ``tensorrt``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from asrpack.recipe.section import Section


class Gpu(Section):
    """What both have."""

    device_id: int = Field(default=0, ge=0, le=1023, description="Which GPU, as CUDA counts them.")
    gpu_memory_limit: int | None = Field(
        default=None,
        ge=1 << 20,
        le=1 << 50,
        description="Bytes that the CUDA provider's arena may take; with tensorrt, for what "
        "TensorRT leaves to CUDA. Without it: no limit.",
    )


class Cuda(Gpu):
    """Options of ONNX Runtime's CUDA provider."""

    arena_extend_strategy: Literal["kNextPowerOfTwo", "kSameAsRequested"] = Field(
        default="kNextPowerOfTwo", description="How the arena grows."
    )
    cudnn_conv_algo_search: Literal["EXHAUSTIVE", "HEURISTIC", "DEFAULT"] = Field(
        default="EXHAUSTIVE",
        description="How cuDNN chooses algorithms of convolutions: EXHAUSTIVE tries them for every "
        "new shape, HEURISTIC is quicker to start.",
    )
    tf32: bool = Field(
        default=True, description="Whether products of fp32 may be computed in TF32."
    )


class Bounds(Section):
    """Likeliest and greatest; the least is what the runtime may run."""

    @model_validator(mode="after")
    def _ascend(self) -> Bounds:
        likely, high = (getattr(self, name) for name in ("opt", "max"))
        if likely > high:
            raise PydanticCustomError(
                "bounds",
                "has an opt of {likely}, which is over its max of {high}",
                {
                    "likely": likely,
                    "high": high,
                    "remedy": "give opt <= max; what is left out has its default",
                },
            )
        return self


class Batch(Bounds):
    """Utterances in a run."""

    opt: int = Field(default=1, ge=1, le=1024, description="The likeliest number.")
    max: int = Field(default=1, ge=1, le=1024, description="The most.")


class Seconds(Bounds):
    """Length of an utterance."""

    opt: float = Field(default=5.0, gt=0, le=3600, description="The likeliest.")
    max: float = Field(
        default=30.0, gt=0, le=3600, description="The longest; longer recordings are refused."
    )


class Profile(Section):
    """The shapes that engines are built for."""

    batch: Batch = Field(default=Batch(), description="Utterances in a run.")
    seconds: Seconds = Field(default=Seconds(), description="Seconds of an utterance.")


class Tensorrt(Gpu):
    """Options of ONNX Runtime's TensorRT provider."""

    max_workspace_size: int | None = Field(
        default=None,
        ge=1 << 20,
        le=1 << 50,
        description="Bytes of scratch memory while an engine is built. Without it: all there are.",
    )
    min_subgraph_size: int = Field(
        default=1,
        ge=1,
        le=100_000,
        description="Parts of a graph with fewer nodes are left to CUDA.",
    )
    engine_cache: bool = Field(
        default=False,
        description="Whether a host may keep engines, encrypted, in the folder that its "
        "ASRPACK_ENGINE_CACHE names. Without it they are built at each start.",
    )
    timing_cache: bool = Field(
        default=False,
        description="Whether a host may keep how long each kernel took, in the same folder: "
        "engines are built faster then. No weights are in it.",
    )
    profile: Profile = Field(
        default=Profile(), description="The shapes that engines are built for."
    )
