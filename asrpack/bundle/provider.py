"""Which ONNX Runtime provider a bundle is built for, and how it is set up.

Part of ``asrpack.json``, so that a host's owner sees what the bundle asks of a GPU. The fields are
asrpack's own; :mod:`asrpack.runtime.providers` turns them into ONNX Runtime's options, so that a
bundle cannot set any other. Standard library only: this file ships inside bundles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from asrpack.bundle.verify import FormatError

ARENA_EXTEND_STRATEGIES = ("kNextPowerOfTwo", "kSameAsRequested")
CONV_ALGO_SEARCHES = ("EXHAUSTIVE", "HEURISTIC", "DEFAULT")
# As ONNX Runtime calls them.
CPU = "CPUExecutionProvider"
_CODE = "metadata-format"
Shape = tuple[int, ...]


@dataclass(frozen=True)
class CudaOptions:
    """ONNX Runtime's CUDA provider.

    Attributes:
        gpu_memory_limit: bytes of its arena; None for no limit.
        arena_extend_strategy: one of :data:`ARENA_EXTEND_STRATEGIES`.
        cudnn_conv_algo_search: one of :data:`CONV_ALGO_SEARCHES`.
        tf32: products of fp32 may be computed with 10 bits of mantissa.
    """

    device_id: int = 0
    gpu_memory_limit: int | None = None
    arena_extend_strategy: str = ARENA_EXTEND_STRATEGIES[0]
    cudnn_conv_algo_search: str = CONV_ALGO_SEARCHES[0]
    tf32: bool = True


@dataclass(frozen=True)
class ShapeRange:
    """Shapes of one input for which an engine is built: the least, the likeliest, the greatest."""

    min: Shape
    opt: Shape
    max: Shape


@dataclass(frozen=True)
class TensorrtOptions:
    """ONNX Runtime's TensorRT provider, before its CUDA provider.

    Attributes:
        gpu_memory_limit: bytes of the arena of the CUDA provider, which runs what TensorRT does
            not; None for no limit.
        max_workspace_size: bytes of scratch memory while an engine is built; None for all.
        min_subgraph_size: nodes below which a part of the graph is left to CUDA.
        fp16: layers may be computed in half precision.
        engine_cache: engines may be kept, encrypted, where the host names a folder.
        timing_cache: the timings of kernels may be kept there; they hold no weights.
        profiles: shapes of every dynamic input, by graph and input.
    """

    device_id: int = 0
    gpu_memory_limit: int | None = None
    max_workspace_size: int | None = None
    min_subgraph_size: int = 1
    fp16: bool = False
    engine_cache: bool = False
    timing_cache: bool = False
    profiles: Mapping[str, Mapping[str, ShapeRange]] = field(default_factory=dict)


Options = CudaOptions | TensorrtOptions
_KINDS: dict[str, type[Options]] = {"cuda": CudaOptions, "tensorrt": TensorrtOptions}


@dataclass(frozen=True)
class ProviderSpec:
    """What a bundle is to run on.

    Attributes:
        target: ``cuda`` or ``tensorrt``.
        options: of that target.
        fallback: the bundle may run on the CPU where the provider is not there.
    """

    target: str
    options: Options
    fallback: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON; without what is None."""
        options = {name: value for name, value in asdict(self.options).items() if value is not None}
        return {"target": self.target, "options": options, "fallback": self.fallback}

    @classmethod
    def from_dict(cls, raw: Any) -> ProviderSpec:
        """Reads what :meth:`as_dict` gave, also after it has been through JSON.

        Raises:
            FormatError: a field is missing, unknown or of another type, or a value is not one of
                those that are known.
        """
        if type(raw) is not dict or set(raw) != {"target", "options", "fallback"}:
            raise FormatError(_CODE, "provider must have exactly target, options and fallback")
        kind = _KINDS.get(raw["target"]) if type(raw["target"]) is str else None
        options = raw["options"]
        if kind is None or type(options) is not dict or type(raw["fallback"]) is not bool:
            raise FormatError(_CODE, "provider is not one that this version knows")
        defaults = asdict(kind())
        if unknown := sorted(set(options) - set(defaults)):
            raise FormatError(_CODE, f"provider has the unknown option {unknown[0]}")
        for name, value in options.items():
            wanted = int if defaults[name] is None else type(defaults[name])
            if type(value) is not wanted or (wanted is int and value < 0):
                raise FormatError(_CODE, f"provider: {name} must be of type {wanted.__name__}")
        options = {**options}
        if "profiles" in options:
            options["profiles"] = _profiles(options["profiles"])
        for name, known in (
            ("arena_extend_strategy", ARENA_EXTEND_STRATEGIES),
            ("cudnn_conv_algo_search", CONV_ALGO_SEARCHES),
        ):
            if options.get(name, known[0]) not in known:
                raise FormatError(_CODE, f"provider: {name} must be one of {', '.join(known)}")
        return cls(raw["target"], kind(**options), raw["fallback"])


def measured_in_words(figures: Mapping[str, str]) -> str:
    """What ``provider`` of ``evaluation.json`` says, as people read it."""
    if figures["measured_on"] == CPU:
        return (
            f"measured on {CPU}, not on {figures['target']}: speed says nothing of a GPU, and a "
            "text may differ there"
        )
    return f"measured on {figures['measured_on']}"


def _profiles(raw: dict[str, Any]) -> dict[str, dict[str, ShapeRange]]:
    names = [item.name for item in fields(ShapeRange)]
    found: dict[str, dict[str, ShapeRange]] = {}
    for graph, inputs in raw.items():
        if type(inputs) is not dict:
            raise FormatError(_CODE, f"provider: the profile of {graph} must be an object")
        found[graph] = {}
        for name, shapes in inputs.items():
            if type(shapes) is not dict or set(shapes) != set(names):
                raise FormatError(_CODE, f"provider: the profile of {name} has min, opt and max")
            if not all(
                isinstance(shape, (list, tuple)) and all(type(size) is int for size in shape)
                for shape in shapes.values()
            ):
                raise FormatError(_CODE, f"provider: a shape of {name} is no list of numbers")
            found[graph][name] = ShapeRange(**{key: tuple(shapes[key]) for key in names})
    return found
