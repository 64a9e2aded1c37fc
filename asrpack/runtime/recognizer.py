"""One model, ready to transcribe: features, encoder, search, text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrpack.bundle.model import DECODE_METHODS, ModelDescription
from asrpack.errors import ToolchainError, UsageError
from asrpack.runtime.audio import audio_too_long
from asrpack.runtime.decoding import (
    attention_rescoring,
    ctc_greedy_search,
    ctc_prefix_beam_search,
)
from asrpack.runtime.features import Fbank, apply_cmvn
from asrpack.runtime.session import open_session
from asrpack.runtime.text import detokenize

ENCODER_OUTPUTS = ("encoder_out", "ctc_log_probs")
DECODER_OUTPUTS = ("decoder_log_probs",)


@dataclass(frozen=True)
class Encoded:
    """An encoder's result for one utterance.

    Attributes:
        encoder_out: shape (T', H).
        ctc_log_probs: shape (T', V), natural logarithm.
    """

    encoder_out: NDArray[np.float32]
    ctc_log_probs: NDArray[np.float32]


@dataclass(frozen=True)
class Hypothesis:
    """What was recognised.

    Attributes:
        text: for people.
        tokens: unit ids as the search found them.
        score: log-probability as the method defines it; methods' scores don't compare.
    """

    text: str
    tokens: tuple[int, ...]
    score: float


NOTHING = Hypothesis("", (), 0.0)


class Recognizer:
    """Runs one model on ONNX Runtime. Methods may be called from several threads at once.

    Args:
        description: front end, units and decoding defaults.
        encoder: ``encoder.onnx``: ``feats`` float32 (B, T, D) and ``feat_lens`` int64 (B,) in,
            ``encoder_out`` (B, T', H) and ``ctc_log_probs`` (B, T', V) out.
        decoder: ``decoder.onnx``, or None where the model has none: ``encoder_out`` (N, T', H),
            ``encoder_lens`` (N,), ``hyps_in`` (N, L) and ``hyps_lens`` (N,) in,
            ``decoder_log_probs`` (N, L, V) out.
        threads: per operator; 0 for the machine's physical cores.

    Raises:
        ToolchainError: onnxruntime cannot load a graph, or a graph is not of this interface.
    """

    def __init__(
        self,
        description: ModelDescription,
        encoder: bytes,
        decoder: bytes | None,
        *,
        threads: int = 0,
    ) -> None:
        self.description = description
        self._fbank = Fbank(description.fbank)
        self._encoder = open_session(encoder, "encoder.onnx", threads, outputs=ENCODER_OUTPUTS)
        self._decoder = None
        if decoder is not None:
            self._decoder = open_session(decoder, "decoder.onnx", threads, outputs=DECODER_OUTPUTS)

    @property
    def max_seconds(self) -> float:
        """The longest audio that the model takes."""
        return self._fbank.samples(self._max_frames) / self.description.fbank.sample_rate

    @property
    def methods(self) -> tuple[str, ...]:
        """The decoding methods that this model can be decoded with."""
        without_decoder = tuple(name for name in DECODE_METHODS if name != "attention_rescoring")
        return without_decoder if self._decoder is None else DECODE_METHODS

    @property
    def _max_frames(self) -> int:
        return self.description.max_frames * self.description.subsampling

    def features(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised features.

        Args:
            samples: shape (n,), on the int16 scale, at the model's rate.

        Returns:
            Shape (T, D); T is 0 for less than one window.

        Raises:
            InputError: longer than the model takes.
        """
        if self._fbank.frames(len(samples)) > self._max_frames:
            raise audio_too_long(
                len(samples) / self.description.fbank.sample_rate, self.max_seconds
            )
        return apply_cmvn(self._fbank(samples), self.description.cmvn)

    def encode(self, feats: NDArray[np.float32]) -> Encoded:
        """Runs the encoder.

        Args:
            feats: shape (T, D), normalised.

        Returns:
            No frames (T' = 0) where there are fewer than the encoder needs to give one.

        Raises:
            ToolchainError: the network's output is not a number.
        """
        if len(feats) <= self.description.right_context:
            nothing = np.zeros((0, len(self.description.tokens)), np.float32)
            return Encoded(nothing, nothing)
        encoder_out, ctc_log_probs = self._encoder.run(
            ENCODER_OUTPUTS,
            {"feats": feats[None], "feat_lens": np.array([len(feats)], np.int64)},
        )
        if np.isnan(ctc_log_probs).any():
            raise ToolchainError(
                "the network's output is not a number",
                code="model-nan",
                place="encoder.onnx",
                remedy="the model overflows at this precision: build it with precision fp32",
            )
        return Encoded(encoder_out[0], ctc_log_probs[0])

    def decode(self, encoded: Encoded, method: str | None = None) -> Hypothesis:
        """Searches the best text.

        Args:
            encoded: what :meth:`encode` gave.
            method: one of ``DECODE_METHODS``; None for the model's own default.

        Raises:
            UsageError: no such method, or the model has no decoder for it.
        """
        method = self.check_method(method)
        if not len(encoded.ctc_log_probs):
            return NOTHING
        about, log_probs = self.description, encoded.ctc_log_probs
        if method == "ctc_greedy_search":
            units, score = ctc_greedy_search(log_probs, about.blank_id)
        else:
            nbest = ctc_prefix_beam_search(log_probs, about.decode.beam_size, about.blank_id)
            units, score = nbest[0]
        if method == "attention_rescoring":
            units, score = attention_rescoring(
                nbest,
                lambda hyps, lengths: self._run_decoder(encoded.encoder_out, hyps, lengths),
                ctc_weight=about.decode.ctc_weight,
                sos_id=self._id(about.sos_id),
                eos_id=self._id(about.eos_id),
                blank_id=about.blank_id,
            )
        return Hypothesis(detokenize(units, about.tokens, self._id(about.eos_id)), units, score)

    def transcribe(self, samples: NDArray[np.float32], method: str | None = None) -> Hypothesis:
        """Samples to text; silence and less than a frame of audio give an empty text.

        Args:
            samples: shape (n,), on the int16 scale, at the model's rate.
            method: as for :meth:`decode`.

        Raises:
            InputError: longer than the model takes.
            UsageError: as for :meth:`decode`.
        """
        self.check_method(method)
        return self.decode(self.encode(self.features(samples)), method)

    def check_method(self, method: str | None) -> str:
        """The decoding method that a name, or None, stands for.

        Raises:
            UsageError: no such method, or the model has no decoder for it.
        """
        if method is None:
            method = self.description.decode.method
        if method not in self.methods:
            raise UsageError(
                f"this model cannot decode with {method!r}",
                code="decode-method",
                remedy=f"choose one of {', '.join(self.methods)}",
            )
        return method

    def _id(self, unit: int) -> int:
        return unit % len(self.description.tokens)  # -1 is the last unit

    def _run_decoder(
        self, encoder_out: NDArray[np.float32], hyps_in: NDArray[np.int64], lens: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        assert self._decoder is not None  # check_method has seen to it
        count = len(hyps_in)
        log_probs: NDArray[np.float32] = self._decoder.run(
            DECODER_OUTPUTS,
            {
                "encoder_out": np.broadcast_to(encoder_out, (count, *encoder_out.shape)),
                "encoder_lens": np.full(count, len(encoder_out), np.int64),
                "hyps_in": hyps_in,
                "hyps_lens": lens,
            },
        )[0]
        return log_probs
