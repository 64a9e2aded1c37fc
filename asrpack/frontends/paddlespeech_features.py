"""Maps PaddleSpeech's ``preprocess_config`` to the front end that the runtime computes.

After ``paddlespeech/audio/transform`` 1.5.0 (``spectrogram.py``, ``cmvn.py``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from asrpack.bundle.model import Cmvn, FbankSpec
from asrpack.errors import InputError
from asrpack.frontends.paddlespeech_config import Document, Keys, Section, dotted, kind, read_text

# Steps that PaddleSpeech skips when it is not training.
TRAINING_ONLY = (
    "bandpass_perturbation",
    "freq_mask",
    "noise_injection",
    "rir_convolve",
    "spec_augment",
    "speed_perturbation",
    "speed_perturbation_sox",
    "time_mask",
    "time_warp",
    "volume_perturbation",
)
_REMEDY = "choose a model with a kaldi filterbank front end, or mend the configuration"


def read_front_end(config: Document, input_dim: int) -> tuple[FbankSpec, Cmvn | None]:
    """The filterbank and normalization in front of the network.

    Args:
        config: ``model.yaml``; ``preprocess_config`` is inline or names a YAML file beside it.
        input_dim: feature bins that the network takes.

    Raises:
        InputError, ErrorGroup: a step that is not known, options of the wrong type, statistics
            missing, malformed or of another size.
    """
    root = config.path.parent
    value = config.values.get("preprocess_config")
    keys: Keys = ("preprocess_config",)
    if isinstance(value, str):
        config, keys = Document.read(root / value), ()
        value = config.values
    steps = value.get("process") if isinstance(value, dict) else None
    keys = (*keys, "process")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise config.error(
            keys,
            f"{dotted(keys)} is {kind(steps)}, not a list of steps",
            code="front-end-missing",
            remedy="give the preprocessing that the model was trained with",
        )
    fbank: FbankSpec | None = None
    cmvn: Cmvn | None = None
    for index, step in enumerate(steps):
        place = (*keys, index)
        name = step.get("type")
        if name == "fbank_kaldi" and fbank is None:
            fbank = _fbank(config, place, step, input_dim)
        elif name == "cmvn_json" and fbank is not None and cmvn is None:
            cmvn = _cmvn(config, place, step, root, input_dim)
        elif name not in TRAINING_ONLY:
            raise config.error(
                place,
                f"preprocessing step {index + 1} is {name!r}; this version reads one fbank_kaldi, "
                "then at most one cmvn_json, and leaves training's augmentation out",
                code="unsupported-front-end",
                remedy=_REMEDY,
            )
    if fbank is None:
        raise config.error(
            keys,
            "there is no fbank_kaldi among the preprocessing steps",
            code="unsupported-front-end",
            remedy=_REMEDY,
        )
    return fbank, cmvn


def _fbank(config: Document, keys: Keys, step: dict[str, Any], input_dim: int) -> FbankSpec:
    section = Section(config, keys, step)
    # Dither is for training; the energy floor matters only where the energy is a feature.
    section.skip("type", "dither", "energy_floor")
    rate = section.integer("fs", 16000, minimum=1000)
    bins = section.integer("n_mels", 80)
    shift = section.integer("n_shift", 160)
    length = section.integer("win_length", 400)
    if bins != input_dim:
        section.fail(
            "n_mels",
            f"the front end makes {bins} bins, but the network takes input_dim {input_dim}",
            code="front-end-size",
            remedy="set n_mels and input_dim to what the model was trained with",
        )
    section.finish()
    return FbankSpec(
        sample_rate=rate,
        num_mel_bins=bins,
        frame_length_ms=length * 1000 / rate,
        frame_shift_ms=shift * 1000 / rate,
    )


def _cmvn(config: Document, keys: Keys, step: dict[str, Any], root: Path, size: int) -> Cmvn:
    section = Section(config, keys, step)
    section.skip("type", "cmvn_path")
    means = section.boolean("norm_means", True)
    variances = section.boolean("norm_vars", True)
    floor = section.number("std_floor", 1.0e-20)
    section.finish()
    source = step.get("cmvn_path")
    if isinstance(source, str) and source:
        path = root / source
        stats, place = _json(path), str(path)
    else:
        stats, place = source, config.place((*keys, "cmvn_path"))
    mean, std = _moments(stats, place, size, floor)
    return Cmvn(
        mean=tuple((mean if means else np.zeros(size)).tolist()),
        istd=tuple((1.0 / std if variances else np.ones(size)).tolist()),
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(read_text(path, "CMVN statistics"))
    except ValueError as error:
        raise InputError(
            f"the CMVN statistics are not JSON: {error}",
            code="cmvn-malformed",
            place=str(path),
            remedy="copy the file from the model's archive again",
        ) from error


def _moments(stats: Any, place: str, size: int, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per bin, as PaddleSpeech's ``GlobalCMVN`` works them out."""

    def malformed(cause: str) -> InputError:
        return InputError(
            f"the CMVN statistics {cause}",
            code="cmvn-malformed",
            place=place,
            remedy="give mean_stat, var_stat (sums over frames, one number a bin) and frame_num, "
            "as PaddleSpeech's compute_mean_std.py writes them",
        )

    if not isinstance(stats, dict):
        raise malformed(f"are {kind(stats)}, neither a path nor a mapping")
    if missing := {"mean_stat", "var_stat", "frame_num"} - set(stats):
        raise malformed(f"have no {' and no '.join(sorted(missing))}")
    count = stats["frame_num"]
    if isinstance(count, bool) or not isinstance(count, int | float) or not count > 0:
        raise malformed(f"count {count!r} frames")
    try:
        sums = np.array(stats["mean_stat"], dtype=np.float64)
        squares = np.array(stats["var_stat"], dtype=np.float64)
    except (TypeError, ValueError):
        raise malformed("hold something that is not a number") from None
    for name, values in (("mean_stat", sums), ("var_stat", squares)):
        if values.shape != (size,):
            raise malformed(
                f"have {name} of {'x'.join(map(str, values.shape))}, but there are {size} bins"
            )
    mean = sums / count
    variance = squares / count - mean**2
    if not np.isfinite(mean).all() or not (variance >= 0).all():
        raise malformed("give a mean that is not finite or a negative variance")
    std = np.maximum(np.sqrt(variance), floor)
    if not (std > 0).all():
        raise malformed("give a standard deviation of 0")
    return mean, std
