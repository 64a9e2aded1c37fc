"""One model, ready to transcribe: features, encoder, search, text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrpack.bundle.model import ModelDescription
from asrpack.errors import ToolchainError, UsageError
from asrpack.runtime.audio import audio_too_long
from asrpack.runtime.decoding import (
    attention_rescoring,
    ctc_greedy_search,
    ctc_prefix_beam_search,
)
from asrpack.runtime.front_end import FrontEnd
from asrpack.runtime.session import open_session
from asrpack.runtime.states import EncoderState
from asrpack.runtime.text import detokenize

CTC_OUTPUT = "ctc_log_probs"
DECODER_OUTPUTS = ("decoder_log_probs",)


@dataclass(frozen=True)
class Encoded:
    """An encoder's result for one utterance.

    Attributes:
        ctc_log_probs: shape (T', V), natural logarithm.
        encoder_out: shape (T', H), or None where there is no decoder to take it.
    """

    ctc_log_probs: NDArray[np.float32]
    encoder_out: NDArray[np.float32] | None


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
        graphs: the ONNX files that the description names. ``encoder``: ``feats`` float32
            (B, T, D) or (B, n) and ``feat_lens`` int64 (B,) in, ``ctc_log_probs`` (B, T', V) and,
            for a decoder, ``encoder_out`` (B, T', H) out; one that streams takes and gives its
            states, too. ``decoder``: ``encoder_out`` (N, T', H), ``encoder_lens`` (N,),
            ``hyps_in`` (N, L) and ``hyps_lens`` (N,) in, ``decoder_log_probs`` (N, L, V) out.
        threads: per operator; 0 for the machine's physical cores.

    Raises:
        ToolchainError: onnxruntime cannot load a graph, or a graph is not of this interface.
    """

    def __init__(
        self,
        description: ModelDescription,
        graphs: Mapping[str, bytes],
        *,
        threads: int = 0,
    ) -> None:
        self.description = description
        self.front_end = FrontEnd(description.front_end, description.cmvn)
        self._encoder_outputs: tuple[str, ...] = (CTC_OUTPUT,)
        self._decoder = None
        if description.has_decoder:
            self._encoder_outputs += ("encoder_out",)
            self._decoder = open_session(
                graphs["decoder"], "decoder.onnx", threads, outputs=DECODER_OUTPUTS
            )
        self._encoder = open_session(
            graphs["encoder"], "encoder.onnx", threads, outputs=self._encoder_outputs
        )

    @property
    def max_seconds(self) -> float | None:
        """The longest audio that the model takes; None for any."""
        if (frames := self._max_frames) is None:
            return None
        return self.front_end.samples(frames) / self.description.sample_rate

    @property
    def _max_frames(self) -> int | None:
        longest = self.description.max_frames
        return None if longest is None else longest * self.description.subsampling

    def features(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised features.

        Args:
            samples: shape (n,), on the int16 scale, at the model's rate.

        Returns:
            Shape (T, D); T is 0 for less than one window. Where the graph takes samples: (n,).

        Raises:
            InputError: longer than the model takes.
        """
        longest = self._max_frames
        if longest is not None and self.front_end.frames(len(samples)) > longest:
            assert self.max_seconds is not None
            raise audio_too_long(len(samples) / self.description.sample_rate, self.max_seconds)
        return self.front_end(samples)

    def encode(self, feats: NDArray[np.float32]) -> Encoded:
        """Runs the encoder over a whole recording.

        Args:
            feats: shape (T, D), normalised, or samples (n,).

        Returns:
            No frames (T' = 0) where there are fewer than the encoder needs to give one.

        Raises:
            ToolchainError: the network's output is not a number.
        """
        if len(feats) <= self.description.right_context:
            nothing = np.zeros((0, len(self.description.tokens)), np.float32)
            return Encoded(nothing, nothing)
        feed = {"feats": feats[None], "feat_lens": np.array([len(feats)], np.int64)}
        if (streaming := self.description.streaming) is not None:
            feed |= EncoderState.start(streaming).feed(streaming)
        ctc_log_probs, *encoder_out = self._encoder.run(self._encoder_outputs, feed)
        if np.isnan(ctc_log_probs).any():
            raise ToolchainError(
                "the network's output is not a number",
                code="model-nan",
                place="encoder.onnx",
                remedy="the model overflows at this precision: build it with precision fp32",
            )
        return Encoded(ctc_log_probs[0], encoder_out[0][0] if encoder_out else None)

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
                lambda hyps, lengths: self._run_decoder(encoded, hyps, lengths),
                ctc_weight=about.decode.ctc_weight,
                sos_id=self._id(about.sos_id),
                eos_id=self._id(about.eos_id),
                blank_id=about.blank_id,
            )
        text = detokenize(units, about.tokens, self._id(about.eos_id), about.unit_type)
        return Hypothesis(text, units, score)

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
        if method not in self.description.methods:
            raise UsageError(
                f"this model cannot decode with {method!r}",
                code="decode-method",
                remedy=f"choose one of {', '.join(self.description.methods)}",
            )
        return method

    def _id(self, unit: int) -> int:
        return unit % len(self.description.tokens)  # -1 is the last unit

    def _run_decoder(
        self, encoded: Encoded, hyps_in: NDArray[np.int64], lens: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        encoder_out = encoded.encoder_out
        assert self._decoder is not None and encoder_out is not None  # see check_method
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
