"""ONNX Runtime's execution providers, and their options by its names.

ONNX Runtime goes on with the CPU where a provider cannot be had, and only logs it. Nothing here
does: a bundle for a GPU runs on it, or on the CPU where the bundle allows that, or is an error.
"""

from __future__ import annotations

import contextlib
from typing import Any

from asrpack.bundle.provider import CPU, CudaOptions, ProviderSpec, TensorrtOptions
from asrpack.errors import AsrpackError, ToolchainError
from asrpack.runtime.engine_cache import EngineCache

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
NAMES = {"cuda": CUDA, "tensorrt": TENSORRT}
# Distributions that bring the module `onnxruntime`; two of them in one environment overwrite each
# other.
DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu")
Chain = list[tuple[str, dict[str, str]]]


def installed_runtime() -> tuple[str, str] | None:
    """Name and version of the distribution that brings onnxruntime."""
    # Not above: it costs a start tens of milliseconds, and a CPU needs none of it.
    from importlib.metadata import PackageNotFoundError, version

    for name in DISTRIBUTIONS:
        with contextlib.suppress(PackageNotFoundError):
            return name, version(name)
    return None


class Provider:
    """A provider that works here, for one model's graphs.

    Args:
        spec: as the bundle has it.
        cache: where engines and timings are kept; None for nowhere.
    """

    def __init__(self, spec: ProviderSpec, cache: EngineCache | None = None) -> None:
        self._spec = spec
        self._cache = cache

    @property
    def may_keep(self) -> bool:
        """Whether the bundle allows anything to be kept from one start to the next."""
        options = self._spec.options
        return isinstance(options, TensorrtOptions) and (
            options.engine_cache or options.timing_cache
        )

    def keeping(self, cache: EngineCache | None) -> Provider:
        """The same, with what it keeps from one start to the next."""
        return Provider(self._spec, cache)

    @property
    def name(self) -> str:
        """As ONNX Runtime calls it."""
        return NAMES[self._spec.target]

    def chain(self, graph: str) -> Chain:
        """Providers for one graph, e.g. ``encoder``, in the order of preference, with options."""
        options = self._spec.options
        if isinstance(options, CudaOptions):
            return [(CUDA, cuda_options(options)), (CPU, {})]
        behind = CudaOptions(options.device_id, options.gpu_memory_limit)
        found = tensorrt_options(options, graph)
        if self._cache is not None:
            found |= self._cache.options(
                graph, engines=options.engine_cache, timings=options.timing_cache
            )
        return [(TENSORRT, found), (CUDA, cuda_options(behind)), (CPU, {})]

    @property
    def fault(self) -> AsrpackError | None:
        """Why a kept engine could not be used; ONNX Runtime's own message does not tell."""
        return None if self._cache is None else self._cache.fault

    def check(self, session: Any, place: str) -> None:
        """Sees that a session has got the provider.

        Raises:
            ToolchainError: ONNX Runtime took another.
        """
        found = session.get_providers()
        if self.name not in found:
            raise missing(
                self._spec, f"the session was opened on {', '.join(found)} instead", place
            )


def cuda_options(options: CudaOptions) -> dict[str, str]:
    """Options of the CUDA provider by ONNX Runtime's names."""
    found = {
        "device_id": str(options.device_id),
        "arena_extend_strategy": options.arena_extend_strategy,
        "cudnn_conv_algo_search": options.cudnn_conv_algo_search,
        "use_tf32": str(int(options.tf32)),
    }
    if options.gpu_memory_limit is not None:
        found["gpu_mem_limit"] = str(options.gpu_memory_limit)
    return found


def tensorrt_options(options: TensorrtOptions, graph: str) -> dict[str, str]:
    """Options of the TensorRT provider by ONNX Runtime's names.

    All dynamic inputs have a range, so that engines are built when a session opens and not in the
    middle of the first utterance.
    """
    found = {
        "device_id": str(options.device_id),
        "trt_min_subgraph_size": str(options.min_subgraph_size),
        "trt_fp16_enable": str(int(options.fp16)),
        # Half precision overflows in the sums of a LayerNorm first.
        "trt_layer_norm_fp32_fallback": str(int(options.fp16)),
        # Without a cache nothing is written; ONNX Runtime's own would be the weights in the clear.
        "trt_engine_cache_enable": "0",
        "trt_timing_cache_enable": "0",
        "trt_dump_subgraphs": "0",
    }
    if options.max_workspace_size is not None:
        found["trt_max_workspace_size"] = str(options.max_workspace_size)
    if profile := options.profiles.get(graph):
        for name in ("min", "opt", "max"):
            found[f"trt_profile_{name}_shapes"] = ",".join(
                f"{item}:{'x'.join(map(str, getattr(shapes, name)))}"
                for item, shapes in profile.items()
            )
    return found


def missing(spec: ProviderSpec, fault: str, place: str) -> ToolchainError:
    """The error of a host where a provider does not work; ``fault`` says why, in words."""
    return ToolchainError(
        f"{NAMES[spec.target]} does not work on this host: {fault}",
        code="provider-missing",
        place=place,
        remedy="see what `asrpack doctor` says of the GPU; where the CPU may stand in for it, the "
        "vendor builds with `fallback: cpu`",
    )
