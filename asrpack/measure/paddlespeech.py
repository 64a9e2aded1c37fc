"""PaddleSpeech itself as the oracle: its own features, network and search.

Follows ``paddlespeech/cli/asr/infer.py`` (``ASRExecutor``) without its downloads and prompts.
Import this module only where the process may load Paddle: it takes seconds and 0.5 GB.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.errors import InputError, ToolchainError

DISTRIBUTIONS = ("paddlespeech", "paddlepaddle", "numpy", "soundfile", "librosa")
# Paddle's newest minor version whose layers PaddleSpeech 1.5.0 can still build.
LAST_PADDLE = (3, 1)


@dataclass(frozen=True)
class Options:
    """How to decode; what is None is as the model's ``decode`` section has it.

    Attributes:
        reverse_weight: of the right-to-left decoder; PaddleSpeech's command line leaves it 0.
        chunk_size: encoder frames of a chunk where the encoder runs chunk by chunk
            (``simulate_streaming``); below 0 it sees the whole recording.
        left_chunks: of history, below 0 for all.
    """

    beam_size: int | None = None
    ctc_weight: float | None = None
    reverse_weight: float = 0.0
    chunk_size: int = -1
    left_chunks: int = -1


DEFAULT = Options()


@dataclass(frozen=True)
class Outputs:
    """The network's own outputs for one utterance.

    Attributes:
        ctc_log_probs: shape (T', V).
        encoder_out: shape (T', H); None where no decoder takes it.
    """

    ctc_log_probs: NDArray[np.float32]
    encoder_out: NDArray[np.float32] | None = None


class PaddleSpeech:
    """A model as PaddleSpeech builds and feeds it; :func:`open_paddlespeech` makes one.

    Args:
        model: model directory with ``model.yaml``.
        config: that file, its paths absolute.
        versions: of what the oracle's word depends on.

    Raises:
        InputError: PaddleSpeech cannot build this model.
    """

    methods: tuple[str, ...]

    def __init__(self, model: Path, config: Any, versions: Mapping[str, str]) -> None:
        import paddle

        self.versions = dict(versions)
        self._paddle = paddle
        with building(model):
            from paddlespeech.audio.transform.transformation import Transformation
            from paddlespeech.s2t.frontend.featurizer.text_featurizer import TextFeaturizer

            self._sample_rate = config.preprocess_config.process[0].get("fs", 16000)
            self._preprocess = Transformation(config.preprocess_config)
            self._text = TextFeaturizer(
                unit_type=config.unit_type,
                vocab=config.vocab_filepath,
                spm_model_prefix=config.spm_model_prefix,
            )

    def samples(self, audio: Path) -> NDArray[np.int16]:
        """A recording as ``ASRExecutor.preprocess`` reads it, its faults with stereo included."""
        import librosa
        import soundfile

        samples: NDArray[np.int16]
        samples, rate = soundfile.read(str(audio), dtype="int16", always_2d=True)
        if rate == self._sample_rate:
            return samples[:, 0]
        mono = samples.mean(axis=1, dtype=np.int16) if samples.shape[1] >= 2 else samples[:, 0]
        scaled = librosa.resample(
            mono.astype(np.float32) / 32768, orig_sr=rate, target_sr=self._sample_rate
        )
        rounded: NDArray[np.int16] = np.round(scaled * 32768).astype(np.int16)
        return rounded

    def features(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """The whole preprocessing of ``model.yaml`` without dither; shape (T, D)."""
        features: NDArray[np.float64] = self._preprocess(samples, train=False)
        return features.astype(np.float32)

    def outputs(self, features: NDArray[np.float32], options: Options = DEFAULT) -> Outputs:
        """What the network gives for one utterance, shape (T, D)."""
        raise NotImplementedError

    def decode(self, features: NDArray[np.float32], method: str, options: Options = DEFAULT) -> str:
        """The text of one utterance, shape (T, D), by one of :attr:`methods`."""
        raise NotImplementedError

    def _batch(self, features: NDArray[np.float32]) -> tuple[Any, Any]:
        return (
            self._paddle.to_tensor(features[None]),
            self._paddle.to_tensor([len(features)]),
        )


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
        from asrpack.measure.paddlespeech_deepspeech2 import PaddleSpeechDeepSpeech2

        return PaddleSpeechDeepSpeech2(model, config, versions, checkpoint)
    from asrpack.measure.paddlespeech_u2 import PaddleSpeechU2

    return PaddleSpeechU2(model, config, versions, checkpoint)


@contextmanager
def building(model: Path) -> Iterator[None]:
    """Turns whatever PaddleSpeech raises into an error that names the model."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise InputError(
            f"PaddleSpeech cannot build the model: {type(error).__name__}: {error}",
            code="paddlespeech-model",
            place=str(model),
            remedy="check that the directory is as PaddleSpeech unpacks it",
        ) from error


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
