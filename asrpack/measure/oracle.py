"""Opens PaddleSpeech itself on a model directory.

Call this only where the process may load Paddle: it takes seconds and 0.5 GB.
"""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import Any

from asrpack.errors import ToolchainError
from asrpack.measure.paddlespeech import PaddleSpeech, building
from asrpack.measure.paddlespeech_deepspeech2 import PaddleSpeechDeepSpeech2
from asrpack.measure.paddlespeech_u2 import PaddleSpeechU2

DISTRIBUTIONS = ("paddlespeech", "paddlepaddle", "numpy", "soundfile", "librosa")
# Paddle's newest minor version whose layers PaddleSpeech 1.5.0 can still build.
LAST_PADDLE = (3, 1)


def open_paddlespeech(model: Path, checkpoint: Path) -> PaddleSpeech:
    """The oracle for a model directory.

    Args:
        model: model directory with ``model.yaml``.
        checkpoint: its ``.pdparams`` file.

    Raises:
        ToolchainError: PaddleSpeech is not installed, or Paddle is one that it cannot run on.
        InputError: PaddleSpeech cannot build this model.
    """
    versions = installed_versions()
    # It runs pip when a module of its own is missing; offline that hangs on retries.
    os.environ["PIP_NO_INDEX"] = "1"
    try:
        import paddlespeech.s2t  # noqa: F401
        from yacs.config import CfgNode
    except ImportError as error:
        raise ToolchainError(
            f"PaddleSpeech cannot be imported: {error}",
            code="paddlespeech-import",
            remedy="install it anew: pip install 'asrpack[paddlespeech]'",
        ) from error
    with building(model):
        config = CfgNode(new_allowed=True)
        config.merge_from_file(str(model / "model.yaml"))
        _resolve_paths(config, model)
    if "rnn_layer_size" in config:
        return PaddleSpeechDeepSpeech2(model, config, versions, checkpoint)
    return PaddleSpeechU2(model, config, versions, checkpoint)


def installed_versions() -> dict[str, str]:
    """Versions of all that the oracle's word depends on.

    Raises:
        ToolchainError: PaddleSpeech is missing, or Paddle is missing or too new for it.
    """
    remedy = "install the two that fit: pip install 'asrpack[build,paddlespeech]'"
    versions = {}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise ToolchainError(
                f"{name} is not installed; the recipe asks to compare with PaddleSpeech itself",
                code="paddlespeech-missing",
                remedy=f"{remedy}, or set `evaluate: {{oracle: none}}`",
            ) from None
    paddle = tuple(int(part) for part in versions["paddlepaddle"].split(".")[:2])
    if paddle > LAST_PADDLE:
        raise ToolchainError(
            f"PaddleSpeech {versions['paddlespeech']} cannot build a network on "
            f"paddlepaddle {versions['paddlepaddle']}",
            code="paddlespeech-paddle",
            remedy=remedy,
        )
    return versions


def _resolve_paths(config: Any, model: Path) -> None:
    """Makes the paths of ``model.yaml`` absolute: PaddleSpeech reads them from where it runs."""
    config.defrost()
    if isinstance(config.preprocess_config, str):
        path, config.preprocess_config = model / config.preprocess_config, type(config)()
        config.preprocess_config.set_new_allowed(True)
        config.preprocess_config.merge_from_file(str(path))
    for key in ("vocab_filepath", "spm_model_prefix", "cmvn_file"):
        if isinstance(config.get(key), str) and config[key]:
            config[key] = str(model / config[key])
    for step in config.preprocess_config.process:
        if isinstance(step.get("cmvn_path"), str):
            step["cmvn_path"] = str(model / step["cmvn_path"])
