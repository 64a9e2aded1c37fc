"""What all parts of a recipe are made of: the strict base class, and paths."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

PLACEHOLDER = re.compile(r"\$\{([^}]*)\}?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _resolve(value: Any, info: ValidationInfo) -> Path:
    """``${NAME}`` from the environment, then absolute against the recipe's folder."""
    if not isinstance(value, str):
        raise PydanticCustomError("path_type", "must be a path")
    text = PLACEHOLDER.sub(_variable, value)
    if not text or "\0" in text:
        raise PydanticCustomError("path_text", "is not a path: it is empty or has a NUL in it")
    base = (info.context or {}).get("base", Path())
    # abspath and not resolve(): a link stays visible under the name that the user gave it.
    return Path(os.path.abspath(base / text))  # noqa: PTH100


def _variable(match: re.Match[str]) -> str:
    name = match[1]
    if not match[0].endswith("}") or not _VARIABLE.match(name):
        raise PydanticCustomError(
            "placeholder",
            "has a malformed placeholder",
            {"remedy": "write ${NAME}, where NAME is an environment variable's name"},
        )
    if not (value := os.environ.get(name)):
        raise PydanticCustomError(
            "variable_missing",
            "names the environment variable {name}, which is not set or empty",
            {"name": name, "remedy": f"export {name}, or write the path out"},
        )
    return value


RecipePath = Annotated[
    Path, PlainValidator(_resolve), WithJsonSchema({"type": "string", "format": "path"})
]


Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of all parts of a recipe."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_by_name=False,
        hide_input_in_errors=True,  # a key pasted into a recipe must not come back in a log
    )
