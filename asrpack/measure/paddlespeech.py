"""PaddleSpeech itself as the oracle: its own features, network and search.

Follows ``paddlespeech/cli/asr/infer.py`` (``ASRExecutor``) without its downloads and prompts.
Import this module only where the process may load Paddle: it takes seconds and 0.5 GB.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.errors import InputError


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
    """A model as PaddleSpeech builds and feeds it; :mod:`asrpack.measure.oracle` makes one.

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
