"""Reads ``.pdparams``, the pickle that ``paddle.save`` writes, without Paddle and without risk.

A pickle may call anything on loading. Only what rebuilds NumPy arrays is let through here; the
rest is refused. Format: ``paddle/framework/io.py`` and ``io_utils.py`` of Paddle 3.1.
"""

from __future__ import annotations

import codecs
import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy._core import multiarray

from asrpack.errors import InputError

# Names of parameters in the program, beside the parameters themselves.
_NAME_TABLE = "StructuredToParameterName@@"
# Pickle protocols under 4 cannot hold 4 GiB: larger parameters are cut into flat slices.
_SLICE_TABLE = "UnpackBigParamInfor@@"


class _ArraysOnly(pickle.Unpickler):
    """Admits NumPy's array constructors, containers, and nothing else."""

    _ADMITTED: ClassVar[dict[tuple[str, str], Any]] = {
        **{
            (module, "_reconstruct"): multiarray._reconstruct  # type: ignore[attr-defined]
            for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        },
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        # Bytes in pickle protocols under 3.
        ("_codecs", "encode"): codecs.encode,
        ("collections", "OrderedDict"): OrderedDict,
        # How paddle.save reduces a tensor that is not in a state_dict: tuple((name, array)).
        ("builtins", "tuple"): tuple,
        ("__builtin__", "tuple"): tuple,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ADMITTED[module, name]
        except KeyError:
            raise _ForbiddenError(f"{module}.{name}") from None


class _ForbiddenError(Exception):
    """The pickle names something that is not needed for arrays."""


def read_pdparams(path: Path) -> dict[str, np.ndarray]:
    """The parameters of a ``.pdparams`` file, as float32 where they are floats.

    Float16 and float64 are cast; uint16, which is how Paddle stores bfloat16, is widened.

    Raises:
        InputError: unreadable, empty, cut short, not a pickle of arrays, or one that asks for
            anything but arrays to be made.
    """
    return {name: _as_float32(name, value, path) for name, value in read_state(path).items()}


def read_state(path: Path) -> dict[str, Any]:
    """What is stored by name in a ``.pdparams`` file, arrays of any type.

    Raises:
        InputError: as :func:`read_pdparams`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read the weights: {error.strerror}",
            code="weights-unreadable",
            place=str(path),
            remedy="check the path and its permissions",
        ) from error
    if not data:
        raise InputError(
            "the weights file is empty (0 bytes)",
            code="weights-empty",
            place=str(path),
            remedy="copy or download the checkpoint again",
        )
    return {
        name: value[1] if isinstance(value, tuple) and len(value) == 2 else value
        for name, value in _joined(_unpickle(data, path), path).items()
    }


def _unpickle(data: bytes, path: Path) -> dict[str, Any]:
    try:
        state = _ArraysOnly(io.BytesIO(data)).load()
    except _ForbiddenError as error:
        raise InputError(
            f"the weights file asks to run {error}, which has no place in weights",
            code="weights-unsafe",
            place=str(path),
            remedy="do not load this file with paddle.load either; get the checkpoint from a "
            "source you trust",
        ) from None
    # A damaged pickle raises nearly anything: the machine reads bytes as instructions.
    except Exception as error:
        raise InputError(
            f"the weights file is damaged or no .pdparams ({type(error).__name__}: {error})",
            code="weights-damaged",
            place=str(path),
            remedy="copy or download the checkpoint again",
        ) from error
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise InputError(
            f"the weights file holds a {type(state).__name__}, not parameters by name",
            code="weights-damaged",
            place=str(path),
            remedy="pass the file that holds the model's state_dict (.pdparams, not .pdopt)",
        )
    return dict(state)


def _joined(state: dict[str, Any], path: Path) -> dict[str, Any]:
    """Puts parameters that were cut into slices together again, and drops the name table."""
    state.pop(_NAME_TABLE, None)
    try:
        for name, info in state.pop(_SLICE_TABLE, {}).items():
            parts = [state.pop(part) for part in info["slices"]]
            state[name] = np.concatenate(parts).reshape(info["OriginShape"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the weights file's slices do not fit together ({type(error).__name__}: {error})",
            code="weights-damaged",
            place=str(path),
            remedy="copy or download the checkpoint again",
        ) from error
    return state


def _as_float32(name: str, value: Any, path: Path) -> np.ndarray:
    if isinstance(value, np.ndarray):
        if value.dtype == np.uint16:
            return (value.astype(np.uint32) << 16).view(np.float32)
        if value.dtype.kind == "f":
            return value.astype(np.float32)
    kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
    raise InputError(
        f"parameter {name} is {kind}, not an array of floats",
        code="parameter-type",
        place=str(path),
        remedy="save the model's state_dict with paddle.save",
    )
