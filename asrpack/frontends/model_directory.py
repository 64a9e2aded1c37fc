"""What is in a directory that a user calls a model? Finds the files, says what else it may be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrpack.errors import InputError
from asrpack.frontends.problems import did_you_mean

CONFIG = "model.yaml"
# PaddleSpeech's, where model.yaml does not say.
DEFAULT_ENCODER = "transformer"
ENCODERS = ("conformer", "transformer", "squeezeformer")
SUPPORTED = (
    "asrpack reads PaddleSpeech's U2 and U2++ models (conformer, transformer and squeezeformer "
    "encoders) and DeepSpeech2 (model.yaml and .pdparams), CTC models in ONNX (described, WeNet's "
    "exports, sherpa-onnx's WeNet and SenseVoice), and Paddle Inference files"
)


def require_config(path: Path) -> Path:
    """The directory's ``model.yaml``.

    Raises:
        InputError: no such directory, or one of another kind, which is named.
    """
    if not path.is_dir():
        cause = "this is a file, not a directory" if path.exists() else "there is no such directory"
        raise InputError(
            cause,
            code="model-missing",
            place=str(path),
            remedy="give the directory that the model's archive unpacks to",
        )
    config = path / CONFIG
    if config.is_file():
        return config
    nested = sorted(found.parent.name for found in path.glob(f"*/{CONFIG}"))
    if nested:
        remedy = f"give {path / nested[0]} instead"
    else:
        remedy = f"{SUPPORTED}; PaddleSpeech's directories have {CONFIG} at their root"
    raise InputError(
        f"there is no {CONFIG}{_other_kind(path)}",
        code="model-config-missing",
        place=str(path),
        remedy=remedy,
    )


def unsupported_kind(config: Mapping[str, Any]) -> str | None:
    """What a ``model.yaml`` describes where that is not a U2 speech recognizer; else None."""
    if "num_conv_layers" in config or "rnn_layer_size" in config:
        return "a DeepSpeech2 model"
    if "wav2vec2_params_path" in config or "hubert_params_path" in config:
        return "a self-supervised (wav2vec 2.0 or HuBERT) model"
    if "generator_params" in config or "fastspeech2" in str(config.get("model", "")):
        return "a text-to-speech model"
    if "encoder" not in config and "encoder_conf" not in config:
        return "not a U2 model: it has neither encoder nor encoder_conf"
    if config.get("encoder", DEFAULT_ENCODER) not in ENCODERS:
        return f"a U2 model with a {config['encoder']} encoder"
    if "asr_weight" in (config.get("model_conf") or {}):
        return "a speech translation model"
    return None


def find_checkpoint(path: Path, checkpoint: str | None) -> Path:
    """The weights to read.

    Args:
        path: the model directory.
        checkpoint: a path relative to it, with or without ``.pdparams``, or a bare name such as
            ``avg_10``; None takes the only file there is, or the only average of several.

    Raises:
        InputError: there is none, not that one, or no telling which.
    """
    found = sorted(item for item in path.rglob("*.pdparams") if item.is_file())
    names = [item.relative_to(path).as_posix() for item in found]
    listing = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    if checkpoint is not None:
        wanted = checkpoint.removesuffix(".pdparams") + ".pdparams"
        matching = [
            item
            for item, name in zip(found, names, strict=True)
            if wanted in (name, item.name, str(item))
        ]
        if len(matching) == 1:
            return matching[0]
        stems = [name.removesuffix(".pdparams") for name in names]
        stems += [item.stem for item in found]
        raise InputError(
            f"{len(matching) or 'no'} files match the checkpoint {checkpoint!r}"
            + did_you_mean(checkpoint, stems),
            code="checkpoint-missing",
            place=str(path),
            remedy=f"set model.checkpoint to one of: {listing or '(there is no .pdparams file)'}",
        )
    if not found:
        raise InputError(
            "there are no weights (*.pdparams)",
            code="weights-missing",
            place=str(path),
            remedy="copy exp/<network>/checkpoints from the model's archive",
        )
    averages = [item for item in found if item.name.startswith("avg_")]
    for candidates in (found, averages):
        if len(candidates) == 1:
            return candidates[0]
    raise InputError(
        f"there are {len(found)} checkpoints and no telling which to use",
        code="checkpoint-ambiguous",
        place=str(path),
        remedy=f"set model.checkpoint to one of: {listing}",
    )


def _other_kind(path: Path) -> str:
    """What the files of a directory without ``model.yaml`` look like, as a clause."""
    kinds = (
        ("default.yaml", "a PaddleSpeech text-to-speech or audio model"),
        ("*.pdz", "a PaddleSpeech text-to-speech or audio model"),
        ("*.pdmodel", "a model exported for Paddle Inference"),
        ("inference.json", "a model exported for Paddle Inference"),
        ("*.onnx", "an ONNX model"),
        ("*.pt", "a PyTorch model"),
        ("*.safetensors", "a model of another toolkit"),
        ("conf/*.yaml", "a PaddleSpeech training recipe"),
    )
    for pattern, what in kinds:
        if any(path.glob(pattern)):
            return f"; this looks like {what} ({pattern})"
    return "" if any(path.iterdir()) else "; the directory is empty"
