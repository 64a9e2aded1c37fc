"""PaddleSpeech itself as the oracle: its own features, network and search.

Follows ``paddlespeech/cli/asr/infer.py`` (``ASRExecutor``) without its downloads and prompts.
Import this module only where the process may load Paddle: it takes seconds and 0.5 GB.
"""

from __future__ import annotations

import importlib.metadata
import os
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
class Outputs:
    """The network's own outputs for one utterance: shapes (T', H) and (T', V)."""

    encoder_out: NDArray[np.float32]
    ctc_log_probs: NDArray[np.float32]


class PaddleSpeech:
    """A U2 model as PaddleSpeech builds, feeds and decodes it.

    Args:
        model: model directory with ``model.yaml``.
        checkpoint: its ``.pdparams`` file.

    Raises:
        ToolchainError: PaddleSpeech is not installed, or Paddle is one that it cannot run on.
        InputError: PaddleSpeech cannot build this model.
    """

    def __init__(self, model: Path, checkpoint: Path) -> None:
        self.versions = installed_versions()
        # It runs pip when a module of its own is missing; offline that hangs on retries.
        os.environ["PIP_NO_INDEX"] = "1"
        try:
            import paddle
            from paddlespeech.audio.transform.transformation import Transformation
            from paddlespeech.s2t.frontend.featurizer.text_featurizer import TextFeaturizer
            from paddlespeech.s2t.models.u2 import U2Model
            from yacs.config import CfgNode
        except ImportError as error:
            raise ToolchainError(
                f"PaddleSpeech cannot be imported: {error}",
                code="paddlespeech-import",
                remedy="install it anew: pip install 'asrpack[paddlespeech]'",
            ) from error
        self._paddle = paddle
        try:
            config = CfgNode(new_allowed=True)
            config.merge_from_file(str(model / "model.yaml"))
            _resolve_paths(config, model)
            self.decode_config = config.decode
            self._sample_rate = config.preprocess_config.process[0].get("fs", 16000)
            self._preprocess = Transformation(config.preprocess_config)
            self._text = TextFeaturizer(
                unit_type=config.unit_type,
                vocab=config.vocab_filepath,
                spm_model_prefix=config.spm_model_prefix,
            )
            self._model = U2Model.from_config(config)
            self._model.set_state_dict(paddle.load(str(checkpoint)))
            self._model.eval()
        except (Exception, SystemExit) as error:
            raise InputError(
                f"PaddleSpeech cannot build the model: {type(error).__name__}: {error}",
                code="paddlespeech-model",
                place=str(model),
                remedy="check that the directory is as PaddleSpeech unpacks it",
            ) from error

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

    def outputs(
        self, features: NDArray[np.float32], *, chunk_size: int = -1, left_chunks: int = -1
    ) -> Outputs:
        """Encoder output and CTC log-probabilities of one utterance; options as :meth:`decode`."""
        with self._paddle.no_grad():
            encoder_out, _ = self._model._forward_encoder(
                *self._batch(features), chunk_size, left_chunks, chunk_size > 0
            )
            log_probs = self._model.ctc.log_softmax(encoder_out)
        return Outputs(encoder_out[0].numpy(), log_probs[0].numpy())

    def decoder_log_probs(
        self,
        encoder_out: NDArray[np.float32],
        hyps_in: NDArray[np.int64],
        hyps_lens: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """The attention decoder's log-probabilities, shape (N, L, V), for one utterance."""
        tensor = self._paddle.to_tensor
        with self._paddle.no_grad():
            left_to_right, _ = self._model.forward_attention_decoder(
                tensor(hyps_in), tensor(hyps_lens), tensor(encoder_out[None])
            )
        log_probs: NDArray[np.float32] = left_to_right.numpy()
        return log_probs

    def decode(
        self,
        features: NDArray[np.float32],
        method: str,
        *,
        beam_size: int | None = None,
        ctc_weight: float | None = None,
        reverse_weight: float = 0.0,
        chunk_size: int = -1,
        left_chunks: int = -1,
    ) -> str:
        """Text by one of PaddleSpeech's methods; options it is not given come from the model.

        Args:
            features: shape (T, D).
            reverse_weight: of the right-to-left decoder; PaddleSpeech's command line leaves it 0.
            chunk_size: encoder frames of a chunk where the encoder runs chunk by chunk
                (``simulate_streaming``); below 0 it sees the whole recording.
            left_chunks: of history, below 0 for all.
        """
        config = self.decode_config
        texts, _ = self._model.decode(
            *self._batch(features),
            text_feature=self._text,
            decoding_method=method,
            beam_size=config.beam_size if beam_size is None else beam_size,
            ctc_weight=config.ctc_weight if ctc_weight is None else ctc_weight,
            decoding_chunk_size=chunk_size,
            num_decoding_left_chunks=left_chunks,
            simulate_streaming=chunk_size > 0,
            reverse_weight=reverse_weight,
        )
        return str(texts[0])

    def _batch(self, features: NDArray[np.float32]) -> tuple[Any, Any]:
        return (
            self._paddle.to_tensor(features[None]),
            self._paddle.to_tensor([len(features)]),
        )


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
