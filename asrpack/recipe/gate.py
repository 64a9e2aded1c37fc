"""The recipe's gate: what the finished model must meet before it ships."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from asrpack.recipe.section import Fraction, Section


def _one_of(*names: str) -> ConfigDict:
    return ConfigDict(json_schema_extra={"anyOf": [{"required": [name]} for name in names]})


class Bounds(Section):
    """Bounds of one figure, of which at least one must be given."""

    @model_validator(mode="after")
    def _bounds_something(self) -> Bounds:
        limits = [name for name in type(self).model_fields if name.startswith("max")]
        if all(getattr(self, name) is None for name in limits):
            names = " nor ".join(f"`{name}`" for name in limits)
            raise PydanticCustomError(
                "gate_empty",
                "bounds nothing: neither {names} is given",
                {"names": names, "remedy": "give one of them, or take the section out"},
            )
        return self


class ErrorRateGate(Bounds):
    """Bounds of the error rate on the test set."""

    model_config = _one_of("max", "max_increase")
    metric: Literal["cer", "wer"] = Field(
        default="cer", description="Errors per character or per word."
    )
    max: Fraction | None = Field(
        default=None, description="The highest error rate, as a fraction: 0.08 is 8 %."
    )
    max_increase: Fraction | None = Field(
        default=None,
        description="The most that the error rate may rise over the fp32 model's, absolute, as a "
        "fraction: 0.002 is 0.2 %.",
    )


class DeletionsGate(Section):
    """Bound of deletions: damage done by quantization shows first as lost words."""

    max_increase: Fraction = Field(
        description="The most that deletions may rise over the fp32 model's, absolute, as a "
        "fraction of the reference: 0.001 is 0.1 %."
    )


class SpeedupGate(Section):
    """Bound of speed, measured against the fp32 model in the same run."""

    min: float = Field(gt=0, description="The least speed relative to fp32: 1.2 is 20 % faster.")


class SizeGate(Bounds):
    """Bounds of the size of the model's files, before encryption."""

    model_config = _one_of("max_ratio", "max_bytes")
    max_ratio: float | None = Field(
        default=None,
        gt=0,
        description="The largest size relative to the fp32 model's, as a fraction.",
    )
    max_bytes: int | None = Field(default=None, gt=0, description="The largest size, in bytes.")


class MemoryGate(Bounds):
    """Bounds of the peak resident memory of a process that loads the model and transcribes."""

    model_config = _one_of("max_ratio", "max_bytes")
    max_ratio: float | None = Field(
        default=None,
        gt=0,
        description="The highest peak relative to that of the same process with the fp32 model, as "
        "a fraction. Interpreter and runtime are in both: a small model's ratio is near 1.",
    )
    max_bytes: int | None = Field(
        default=None, gt=0, description="The highest peak of the whole process, in bytes."
    )


class ColdStartGate(Section):
    """Bound of the wait for the first text."""

    max_seconds: float = Field(
        gt=0,
        description="The most seconds from the start of a process to the text of its first "
        "utterance, with the model's files in the page cache.",
    )


class Gate(Section):
    """What the finished model must meet; otherwise the build fails and keeps it as rejected."""

    error_rate: ErrorRateGate | None = Field(default=None, description="Bounds of the error rate.")
    deletions: DeletionsGate | None = Field(default=None, description="Bound of lost words.")
    speedup: SpeedupGate | None = Field(default=None, description="Bound of speed.")
    size: SizeGate | None = Field(default=None, description="Bounds of size.")
    memory: MemoryGate | None = Field(default=None, description="Bounds of peak memory.")
    cold_start: ColdStartGate | None = Field(
        default=None, description="Bound of the wait for the first text."
    )
