"""One model, ready to transcribe: features, encoder, search, text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.bundle.model import ModelDescription
from asrpack.bundle.plaintext import Content
from asrpack.bundle.provider import CPU
from asrpack.errors import ToolchainError
from asrpack.runtime.audio import audio_too_long
from asrpack.runtime.decoder import OUTPUT, Decoder
from asrpack.runtime.decoding import ContextGraph, UnitTime, unit_times
from asrpack.runtime.decoding.ngram import NgramModel
from asrpack.runtime.engines import open_graphs
from asrpack.runtime.front_end import FrontEnd
from asrpack.runtime.licence import Lease
from asrpack.runtime.memory import release_freed
from asrpack.runtime.providers import Provider
from asrpack.runtime.search import Encoded, Hypothesis, Search
from asrpack.runtime.states import EncoderState

CTC_OUTPUT = "ctc_log_probs"


@dataclass(frozen=True)
class Recognised:
    """What became of an utterance.

    Attributes:
        hypothesis: what was said.
        units: when each of its units was spoken, from the utterance's beginning.
        others: what else it may have been, the likeliest first.
    """

    hypothesis: Hypothesis
    units: Sequence[UnitTime]
    others: tuple[Recognised, ...] = ()


class Recognizer:
    """Runs one model. Methods may be called from several threads at once.

    Attributes:
        provider: what runs the graphs, as ONNX Runtime calls it.
        lease: the licence that recognitions are under; None for none.

    Args:
        description: front end, units and decoding defaults.
        files: of the graphs that the description names, by
            :func:`asrpack.runtime.engines.graph_files`; they may be used up. ``encoder``:
            ``feats`` float32 (B, T, D) or (B, n) and ``feat_lens`` int64 (B,) in,
            ``ctc_log_probs`` (B, T', V) and, for a decoder, ``encoder_out`` (B, T', H) out; one
            that streams takes and gives its states, too. ``decoder``: see
            :class:`asrpack.runtime.decoder.Decoder`; ``right_decoder``: the same for hypotheses
            from their ends.
        target: what runs them, one of :data:`asrpack.runtime.engines.SUFFIXES`.
        ngram: the language model that the description has weights for.
        threads: per operator; 0 for the machine's physical cores.
        provider: what runs the graphs; None for the CPU.
        lease: the licence that recognitions are under; None for none.

    Raises:
        ToolchainError: the engine cannot load a graph, or a graph is not of this interface.
    """

    def __init__(
        self,
        description: ModelDescription,
        files: Mapping[str, Content],
        *,
        target: str = "onnxruntime",
        ngram: NgramModel | None = None,
        threads: int = 0,
        provider: Provider | None = None,
        lease: Lease | None = None,
    ) -> None:
        self.lease = lease
        self.description = description
        self.front_end = FrontEnd(description.front_end, description.cmvn)
        self._ngram = ngram
        self._encoder_outputs: tuple[str, ...] = (CTC_OUTPUT,)
        if description.has_decoder:
            self._encoder_outputs += ("encoder_out",)
        outputs = dict.fromkeys(description.graphs, (OUTPUT,)) | {"encoder": self._encoder_outputs}
        graphs = open_graphs(target, outputs, files, threads, provider=provider)
        self._encoder = graphs.pop("encoder")
        self.decoders = {name: Decoder(graph, description) for name, graph in graphs.items()}
        self.provider = CPU if provider is None else provider.name
        release_freed()

    @property
    def frame_seconds(self) -> float:
        """From one encoder frame to the next."""
        about = self.description
        return about.subsampling * self.front_end.shift / about.sample_rate

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
            KeyFileError: the licence does not allow it.
        """
        with self._place():
            return self._encode(feats)

    def _encode(self, feats: NDArray[np.float32]) -> Encoded:
        if len(feats) <= self.description.right_context:
            nothing = np.zeros((0, len(self.description.tokens)), np.float32)
            return Encoded(nothing, nothing)
        return self._encoded(self._encoder.run(self._encoder_outputs, self._whole([feats])))

    def encode_batch(self, feats: Sequence[NDArray[np.float32]]) -> list[Encoded]:
        """Runs the encoder once over several whole recordings, padded to the longest.

        Whether each result is what the recording alone would give depends on the graph
        (:func:`asrpack.runtime.service.joining.joins`).

        Args:
            feats: each as for :meth:`encode`; of several, longer than the right context. The caller
                has a place for each recognition (:meth:`take_place`).

        Raises:
            ToolchainError: the network's output is not a number.
        """
        if len(feats) == 1:
            return [self._encode(feats[0])]
        names = (*self._encoder_outputs, "out_lens")
        *outputs, lens = self._encoder.run(names, self._whole(feats))
        return [
            self._encoded([output[row : row + 1, :frames] for output in outputs])
            for row, frames in enumerate(lens.tolist())
        ]

    def _whole(self, feats: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """What the encoder is fed for whole recordings."""
        lens = np.array([len(item) for item in feats], np.int64)
        padded = np.zeros((len(feats), lens.max(), *feats[0].shape[1:]), np.float32)
        for row, item in zip(padded, feats, strict=True):
            row[: len(item)] = item
        feed: dict[str, NDArray[Any]] = {"feats": padded, "feat_lens": lens}
        if (streaming := self.description.streaming) is not None:
            feed |= EncoderState.start(streaming, len(feats)).feed(streaming)
        return feed

    def encode_chunk(
        self, feats: NDArray[np.float32], state: EncoderState
    ) -> tuple[Encoded, EncoderState]:
        """Runs the encoder over one chunk of a recording.

        Args:
            feats: shape (T, D), normalised, more than the right context; see
                :class:`asrpack.bundle.model.Streaming` for T.
            state: of the chunk before.

        Returns:
            The chunk's result, and the state for the next one.

        Raises:
            ToolchainError: the network's output is not a number.
        """
        streaming = self.description.streaming
        assert streaming is not None
        names = (*self._encoder_outputs, "out_lens")
        names += tuple(f"next_{item.name}" for item in streaming.states)
        feed: dict[str, NDArray[Any]] = {
            "feats": feats[None],
            "feat_lens": np.array([len(feats)], np.int64),
        }
        values = self._encoder.run(names, feed | state.feed(streaming))
        outputs = dict(zip(names, values, strict=True))
        frames = int(outputs["out_lens"][0])
        encoded = self._encoded([outputs[name][:, :frames] for name in self._encoder_outputs])
        return encoded, state.next(streaming, outputs, frames)

    @staticmethod
    def _encoded(outputs: Sequence[NDArray[np.float32]]) -> Encoded:
        ctc_log_probs, *encoder_out = outputs
        if np.isnan(ctc_log_probs).any():
            raise ToolchainError(
                "the network's output is not a number",
                code="model-nan",
                place="encoder",
                remedy="the model overflows at this precision: build it with precision fp32",
            )
        return Encoded(ctc_log_probs[0], encoder_out[0][0] if encoder_out else None)

    def search(self, method: str | None = None, hotwords: ContextGraph | None = None) -> Search:
        """The search of one utterance.

        Args:
            method: one of ``description.methods``; None for the model's own default.
            hotwords: phrases to prefer.

        Raises:
            UsageError: no such method, or the model cannot be decoded by it, or it takes no
                hotwords.
        """
        method = self.description.check_method(method)
        return Search(self.description, method, self.decoders, ngram=self._ngram, hotwords=hotwords)

    def nbest(
        self, encoded: Encoded, method: str | None = None, hotwords: ContextGraph | None = None
    ) -> list[Hypothesis]:
        """What a method finds in one utterance, best first; arguments as :meth:`search`."""
        search = self.search(method, hotwords)
        search.advance(encoded)
        return search.final()

    def decode(
        self, encoded: Encoded, method: str | None = None, hotwords: ContextGraph | None = None
    ) -> Hypothesis:
        """The best of :meth:`nbest`."""
        return self.nbest(encoded, method, hotwords)[0]

    def times(self, encoded: Encoded, hypothesis: Hypothesis, seconds: float) -> list[UnitTime]:
        """When each unit of a hypothesis is spoken, in an utterance that lasts ``seconds``."""
        return unit_times(
            encoded.ctc_log_probs,
            hypothesis.tokens,
            frame_shift=self.frame_seconds,
            duration=seconds,
            blank_id=self.description.blank_id,
        )

    def timed(self, encoded: Encoded, nbest: Sequence[Hypothesis], seconds: float) -> Recognised:
        """Hypotheses of an utterance with the :meth:`times` of each; the first is the best."""
        best, *others = (Recognised(item, self.times(encoded, item, seconds)) for item in nbest)
        return replace(best, others=tuple(others))

    def recognise(
        self,
        samples: NDArray[np.float32],
        method: str | None = None,
        hotwords: ContextGraph | None = None,
    ) -> tuple[Encoded, list[Hypothesis]]:
        """What the encoder makes of a whole recording, and the n-best of it.

        Args:
            samples: shape (n,), on the int16 scale, at the model's rate.
            method, hotwords: as for :meth:`search`.

        Raises:
            InputError: longer than the model takes.
            UsageError: as for :meth:`search`.
            KeyFileError: the licence is over, or all recognitions that it allows are running.
        """
        self.description.check_method(method)
        with self._place():
            encoded = self._encode(self.features(samples))
            return encoded, self.nbest(encoded, method, hotwords)

    @property
    def places(self) -> int | None:
        """How many recognitions the licence allows at a time; None for any number."""
        if self.lease is None or self.lease.licence is None:
            return None
        return self.lease.licence.terms.streams

    def take_place(self) -> Callable[[], object]:
        """A place among the recognitions that the licence allows; returns what gives it back.

        Raises:
            KeyFileError: the licence is over, or all of them are running.
        """
        return _nothing if self.lease is None else self.lease.take()

    @contextmanager
    def _place(self) -> Iterator[None]:
        leave = self.take_place()
        try:
            yield
        finally:
            leave()

    def transcribe(self, samples: NDArray[np.float32], method: str | None = None) -> Hypothesis:
        """Samples to text; silence and less than a frame of audio give an empty text.

        Args:
            samples: shape (n,), on the int16 scale, at the model's rate.
            method: as for :meth:`search`.

        Raises:
            InputError, UsageError, KeyFileError: as for :meth:`recognise`.
        """
        return self.recognise(samples, method)[1][0]


def _nothing() -> None:
    """Gives back a place where nobody counts them."""
