"""Recognition while the audio arrives."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from asrpack.errors import UsageError
from asrpack.runtime.decoding import ContextGraph
from asrpack.runtime.endpointing import Endpointing, SilenceMeter
from asrpack.runtime.feature_stream import FeatureStream
from asrpack.runtime.recognizer import Recognised, Recognizer
from asrpack.runtime.search import NOTHING, Encoded, Hypothesis, Search
from asrpack.runtime.states import EncoderState
from asrpack.runtime.text import join_texts

# Encoder frames of an utterance where a history grows and no positional table ends it: as many as
# PaddleSpeech's tables have.
_MOST_FRAMES = 5000


@dataclass(frozen=True, kw_only=True)
class Segment(Recognised):
    """What was recognised between two endpoints; without units and others unless the stream has
    ``times``.

    Attributes:
        start: of its audio, in seconds from the stream's beginning.
        end: likewise.
    """

    start: float
    end: float


class StreamingRecognizer:
    """Opens streams on a loaded model. Streams may run in several threads at once.

    Raises:
        UsageError: the model does not stream.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        if recognizer.description.streaming is None:
            raise UsageError(
                "this model takes whole recordings only",
                code="not-streaming",
                remedy="build it again with `streaming: {}` in the recipe, if it was trained for "
                "that; `asrpack init` says so",
            )
        self.recognizer = recognizer

    def stream(
        self,
        method: str | None = None,
        endpointing: Endpointing | None = None,
        hotwords: ContextGraph | None = None,
        *,
        times: bool = False,
        nbest: int = 1,
    ) -> Stream:
        """A new stream.

        Args:
            method: decoding method; None for the model's own default.
            endpointing: where utterances end; None: nowhere but at the longest that the model
                takes.
            hotwords: phrases to prefer.
            times: tell when each unit was spoken; it needs memory for an utterance's posteriors.
            nbest: how many hypotheses to tell of each utterance, with ``times``.

        Raises:
            UsageError: as :meth:`Recognizer.search`.
            KeyFileError: the licence is over, or all recognitions that it allows are running. Once
                open, a stream goes on to its end.
        """
        search = partial(self.recognizer.search, method, hotwords)
        return Stream(self.recognizer, search, endpointing, nbest if times else 0)


class Stream:
    """One recording that arrives piece by piece; one thread at a time.

    The encoder runs when a chunk is complete, so the text lags by up to a chunk. At an endpoint
    (see :class:`Endpointing`), and where the positional table ends, the utterance is finished and
    the next one starts from empty states, with the next chunk: a stream may last for hours, and
    needs no more memory than its longest utterance, and its text. Where the network has no such
    table only endpoints bound the search's memory; that of a history is bounded all the same.

    Args:
        timed: of how many hypotheses of an utterance to tell when their units were spoken.

    Attributes:
        segments: the utterances that are finished, those without text left out.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        search: Callable[[], Search],
        endpointing: Endpointing | None,
        timed: int,
    ) -> None:
        about = recognizer.description
        assert about.streaming is not None  # see StreamingRecognizer
        self._timed = timed
        self.segments: list[Segment] = []
        self._recognizer = recognizer
        self._search = search
        self._endpointing = endpointing
        self._features = FeatureStream(recognizer.front_end)
        self._shift = recognizer.front_end.shift
        self._stride = about.streaming.chunk_size * about.subsampling
        self._window = self._stride - about.subsampling + about.right_context + 1
        self._received = 0  # samples
        # Features that no chunk has begun with yet, and how many came before them.
        self._waiting = self._features.accept(np.zeros(0, np.float32))
        self._taken = 0
        self._utterance = _Utterance(recognizer, search(), endpointing, timed, start=0)
        self._finished = False
        # Given back at the end, or when nobody has the stream any more.
        self._leave = weakref.finalize(self, recognizer.take_place())

    def accept(self, samples: NDArray[np.float32]) -> Hypothesis:
        """Takes the next samples.

        Args:
            samples: shape (n,), any n, on the int16 scale, at the model's rate.

        Returns:
            What is recognised so far of the utterance that is not finished. It may change.

        Raises:
            UsageError: the stream is finished.
            ToolchainError: the network's output is not a number.
        """
        self._check_open()
        self._received += len(samples)
        self._waiting = np.concatenate([self._waiting, self._features.accept(samples)])
        self._run_chunks(self._window)
        return self._utterance.partial()

    def finish(self) -> Hypothesis:
        """Recognises what has not filled a chunk, and ends the stream.

        Returns:
            Of the whole stream: the texts of all segments.

        Raises:
            UsageError: the stream is finished.
            ToolchainError: the network's output is not a number.
        """
        self._check_open()
        self._run_chunks(self._recognizer.description.right_context + 1)
        last = self._end_utterance(self._received)
        self.close()
        if not self.segments:
            return last
        return self._join([segment.hypothesis for segment in self.segments])

    def close(self) -> None:
        """Leaves it as it is: nobody waits for its end."""
        self._finished = True
        self._leave()

    def _run_chunks(self, least: int) -> None:
        """Runs the chunks for which at least this many frames wait."""
        at = 0
        while len(self._waiting) - at >= least:
            self._utterance.advance(self._waiting[at : at + self._window])
            at += self._stride
            self._taken += self._stride
            if self._utterance.ended():
                self._end_utterance(self._taken * self._shift)
        self._waiting = self._waiting[at:].copy()

    def _end_utterance(self, end: int) -> Hypothesis:
        """``end``: where its audio ends, in samples of the stream."""
        start = self._utterance.start * self._shift
        rate = self._recognizer.description.sample_rate
        found = self._utterance.final((end - start) / rate)
        if found.hypothesis.text:
            self.segments.append(Segment(**vars(found), start=start / rate, end=end / rate))
        self._utterance = _Utterance(
            self._recognizer, self._search(), self._endpointing, self._timed, start=self._taken
        )
        return found.hypothesis

    def _join(self, hypotheses: Sequence[Hypothesis]) -> Hypothesis:
        if len(hypotheses) == 1:
            return hypotheses[0]
        about = self._recognizer.description
        return Hypothesis(
            join_texts([item.text for item in hypotheses], about.tokens, about.unit_type),
            tuple(unit for item in hypotheses for unit in item.tokens),
            sum(item.score for item in hypotheses),
            min(item.confidence for item in hypotheses),
        )

    def _check_open(self) -> None:
        if self._finished:
            raise UsageError(
                "the stream is finished", code="stream-finished", remedy="open another one"
            )


class _Utterance:
    """From one endpoint to the next.

    Attributes:
        start: the input frame of the stream that it starts with.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        search: Search,
        endpointing: Endpointing | None,
        timed: int,
        start: int,
    ) -> None:
        about = recognizer.description
        streaming = about.streaming
        assert streaming is not None
        self.start = start
        longest = about.max_frames
        if longest is None and any(state.grows for state in streaming.states):
            longest = _MOST_FRAMES
        # Beyond it there is no room for another chunk.
        self._longest = None if longest is None else longest - streaming.chunk_size
        self._recognizer = recognizer
        self._state = EncoderState.start(streaming)
        self._silence = SilenceMeter(endpointing, recognizer.frame_seconds) if endpointing else None
        self._search = search
        self._timed = timed
        self._log_probs: list[NDArray[np.float32]] = []
        self._partial: Hypothesis | None = NOTHING

    def advance(self, feats: NDArray[np.float32]) -> None:
        """Encodes the next chunk, shape (T, D)."""
        encoded, self._state = self._recognizer.encode_chunk(feats, self._state)
        self._search.advance(encoded)
        if self._timed:
            self._log_probs.append(encoded.ctc_log_probs)
        self._partial = None
        if self._silence is not None:
            self._silence.advance(encoded.ctc_log_probs[:, self._recognizer.description.blank_id])

    def ended(self) -> bool:
        """Whether the next chunk belongs to another utterance."""
        if self._longest is not None and self._state.offset > self._longest:
            return True
        return self._silence is not None and self._silence.ended(bool(self.partial().text))

    def partial(self) -> Hypothesis:
        """What is recognised so far, by CTC alone."""
        if self._partial is None:
            self._partial = self._search.partial()
        return self._partial

    def final(self, seconds: float) -> Recognised:
        """What was recognised, by the method asked for, in an utterance that lasts so long."""
        nbest = self._search.final()
        if not self._log_probs or not nbest[0].text:
            return Recognised(nbest[0], ())
        encoded = Encoded(np.concatenate(self._log_probs), None)
        return self._recognizer.timed(encoded, nbest[: self._timed], seconds)
