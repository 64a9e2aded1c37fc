"""Is a checkpoint one of this network?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from asrpack.errors import InputError
from asrpack.frontends.problems import Problems, did_you_mean
from asrpack.networks.parameter_shapes import Shape

# How many parameters an error names: enough to see the pattern, few enough to read.
_NAMES_SHOWN = 8


def check_parameters(
    parameters: Mapping[str, np.ndarray], expected: Mapping[str, Shape], path: Path
) -> None:
    """Holds the checkpoint against the configuration, name by name.

    Args:
        parameters: what the checkpoint holds.
        expected: what the network has.
        path: of the checkpoint.

    Raises:
        InputError, ErrorGroup: names missing, left over, shapes that differ, NaN or infinity.
    """
    missing = [name for name in expected if name not in parameters]
    extra = [name for name in parameters if name not in expected]
    problems = Problems()

    def report(code: str, what: str, items: list[str], remedy: str) -> None:
        if items:
            shown = items[:_NAMES_SHOWN]
            rest = f" and {len(items) - len(shown)} more" if len(items) > len(shown) else ""
            problems.errors.append(
                InputError(
                    f"{what} ({len(items)}): {', '.join(shown)}{rest}",
                    code=code,
                    place=str(path),
                    remedy=remedy,
                )
            )

    fits = "give the model.yaml and the checkpoint of the same training"
    report(
        "parameter-missing",
        "parameters of the network missing from the checkpoint",
        [name + did_you_mean(name, extra) for name in missing],
        fits,
    )
    report(
        "parameter-extra",
        "parameters of the checkpoint that the network of model.yaml does not have",
        [name + did_you_mean(name, missing) for name in extra],
        fits,
    )
    shared = [name for name in expected if name in parameters]
    report(
        "parameter-shape",
        "parameters of another shape than model.yaml gives",
        [
            f"{name} is {_shape(parameters[name].shape)}, not {_shape(expected[name])}"
            for name in shared
            if parameters[name].shape != expected[name]
        ],
        fits,
    )
    report(
        "parameter-not-finite",
        "parameters that hold NaN or infinity",
        [name for name in shared if not np.isfinite(parameters[name]).all()],
        "choose a checkpoint from before the training diverged",
    )
    problems.raise_if_any()


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"
