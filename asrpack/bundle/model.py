"""What the runtime must know of a model besides its graphs: ``model.json``.

Written by a frontend at import, carried (encrypted) in the bundle, read by the runtime.
Standard library only: this file ships inside bundles.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from asrpack.errors import InputError, UsageError

FORMAT = 2
# `ctc_beam_search` is PaddleSpeech's name for the search with an n-gram language model.
DECODE_METHODS = (
    "ctc_greedy_search",
    "ctc_prefix_beam_search",
    "ctc_beam_search",
    "attention",
    "attention_rescoring",
)
# Those that need the attention decoder's graph.
DECODER_METHODS = frozenset({"attention", "attention_rescoring"})
# The language model among a bundle's files: ARPA text, or KenLM's binary of it.
NGRAM_FILE = "ngram.lm"
GOLDEN_FILE = "golden.json"
UNIT_TYPES = ("char", "word", "spm")


@dataclass(frozen=True)
class FbankSpec:
    """Kaldi log-mel filterbank options, exactly as the model was trained.

    Attributes:
        high_freq: 0 means Nyquist, below 0 an offset from it.
        log_floor: least mel energy before the logarithm (PaddleSpeech: 1e-7; Kaldi and others:
            the float epsilon).
        window: ``povey`` or ``hamming``.
        full_scale: what a sample of 1.0 is multiplied by: 32768 where the model was trained on
            the int16 scale, 1 where on [-1, 1].
        stack: neighbouring frames joined into one (low frame rate; Paraformer: 7).
        stack_shift: frames between two of those (Paraformer: 6).
    """

    sample_rate: int = 16000
    num_mel_bins: int = 80
    frame_length_ms: float = 25.0
    frame_shift_ms: float = 10.0
    preemphasis: float = 0.97
    low_freq: float = 20.0
    high_freq: float = 0.0
    log_floor: float = 1e-7
    window: str = "povey"
    full_scale: float = 32768.0
    stack: int = 1
    stack_shift: int = 1

    @property
    def dim(self) -> int:
        """Numbers in a frame as the network takes it."""
        return self.num_mel_bins * self.stack


@dataclass(frozen=True)
class WaveformSpec:
    """The graph takes samples and computes its own features.

    Attributes:
        full_scale: as in :class:`FbankSpec`.
    """

    sample_rate: int = 16000
    full_scale: float = 1.0


FrontEndSpec = FbankSpec | WaveformSpec
_FRONT_ENDS: dict[str, type[FrontEndSpec]] = {"fbank": FbankSpec, "waveform": WaveformSpec}


@dataclass(frozen=True)
class Cmvn:
    """Mean and inverse standard deviation per feature bin, applied before the graph."""

    mean: tuple[float, ...]
    istd: tuple[float, ...]


@dataclass(frozen=True)
class NgramWeights:
    """How an n-gram language model takes part; names as PaddleSpeech's ``decode`` section.

    Attributes:
        alpha: factor of the language model's score, which is log10 of the probability.
        beta: added per word (character-based models: per unit).
        cutoff_prob: per frame, the likeliest units that have this probability together are
            looked at.
        cutoff_top_n: and no more than these.
    """

    alpha: float = 1.9
    beta: float = 5.0
    cutoff_prob: float = 1.0
    cutoff_top_n: int = 40


@dataclass(frozen=True)
class DecodeDefaults:
    """Decoding options where the caller gives none; names as PaddleSpeech's ``decode`` section.

    Attributes:
        reverse_weight: of the right-to-left decoder in attention rescoring; 0 without one.
        ngram: None where there is no language model.
    """

    method: str = "attention_rescoring"
    beam_size: int = 10
    ctc_weight: float = 0.5
    reverse_weight: float = 0.0
    ngram: NgramWeights | None = None


@dataclass(frozen=True)
class State:
    """What a streaming encoder hands from one chunk to the next.

    The graph takes it as ``name`` and gives it as ``next_`` + ``name``. A recording decoded whole
    is one chunk that starts from this state.

    Attributes:
        shape: of one stream before its first chunk; axis 1 is the batch.
        grows: what the graph gives is appended along axis 3 (the history that attention sees);
            otherwise it replaces the state.
    """

    name: str
    shape: tuple[int, ...]
    grows: bool = False


@dataclass(frozen=True)
class Streaming:
    """How a model that streams is run chunk by chunk.

    A chunk takes ``(chunk_size - 1) * subsampling + right_context + 1`` input frames, and the
    next one starts ``chunk_size * subsampling`` frames later.

    Attributes:
        chunk_size: encoder *output* frames of a chunk.
        left_chunks: chunks of history that attention sees; -1 for all.
        states: in the order of the graph's inputs.
    """

    chunk_size: int
    left_chunks: int
    states: tuple[State, ...]


@dataclass(frozen=True)
class ModelDescription:
    """Front end, units, graphs and decoding of one model.

    Attributes:
        family: the frontend that read it, e.g. ``paddlespeech_u2``.
        front_end: what is computed from samples before the graph.
        cmvn: normalization of those features, or None.
        tokens: unit of each output id; ``<space>`` stands for " ".
        unit_type: how units make a text, one of :data:`UNIT_TYPES`.
        graphs: names of the model's graphs, ``encoder`` first.
        subsampling: encoder input frames (or samples) for one output frame.
        right_context: input frames that the first output frame sees beyond its own.
        max_frames: longest encoder *output* (positional table), in frames; None for no limit.
        streaming: None where the encoder takes whole recordings only.
        network: the family's own hyper-parameters; needed to export, not to run.
    """

    family: str
    front_end: FrontEndSpec
    cmvn: Cmvn | None
    tokens: tuple[str, ...]
    graphs: tuple[str, ...]
    subsampling: int
    right_context: int
    max_frames: int | None
    unit_type: str = "char"
    streaming: Streaming | None = None
    decode: DecodeDefaults = field(default_factory=DecodeDefaults)
    blank_id: int = 0
    sos_id: int = -1
    eos_id: int = -1
    network: dict[str, Any] = field(default_factory=dict)

    @property
    def sample_rate(self) -> int:
        """Of the audio that the model takes, in Hz."""
        return self.front_end.sample_rate

    @property
    def sos(self) -> int:
        """:attr:`sos_id`, counted from the first unit."""
        return self.sos_id % len(self.tokens)

    @property
    def eos(self) -> int:
        """:attr:`eos_id`, counted from the first unit."""
        return self.eos_id % len(self.tokens)

    @property
    def has_decoder(self) -> bool:
        """Whether there is an attention decoder."""
        return "decoder" in self.graphs

    @property
    def methods(self) -> tuple[str, ...]:
        """The decoding methods that this model can be decoded with."""
        lacking = set() if self.has_decoder else set(DECODER_METHODS)
        if self.decode.ngram is None:
            lacking.add("ctc_beam_search")
        return tuple(name for name in DECODE_METHODS if name not in lacking)

    def check_method(self, method: str | None) -> str:
        """The decoding method that a name, or None, stands for.

        Raises:
            UsageError: no such method, or the model cannot be decoded by it.
        """
        if method is None:
            method = self.decode.method
        if method not in self.methods:
            raise UsageError(
                f"this model cannot decode with {method!r}",
                code="decode-method",
                remedy=f"choose one of {', '.join(self.methods)}",
            )
        return method

    def decoded_by(self, method: str | None) -> ModelDescription:
        """With the graphs, and the language model, that one method needs; it is the default.

        Raises:
            UsageError: as :meth:`check_method`.
        """
        method = self.check_method(method)
        needed = {"encoder"}
        if method in DECODER_METHODS:
            needed.add("decoder")
        if method == "attention_rescoring" and self.decode.reverse_weight:
            needed.add("right_decoder")
        ngram = self.decode.ngram if method == "ctc_beam_search" else None
        return replace(
            self,
            graphs=tuple(name for name in self.graphs if name in needed),
            decode=replace(self.decode, method=method, ngram=ngram),
        )

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no white space, one newline at the end."""
        return (
            json.dumps(
                {"format": FORMAT, **asdict(self), "front_end": _front_end_json(self.front_end)},
                sort_keys=True,
                ensure_ascii=False,
                separators=(",", ":"),
                allow_nan=False,
            )
            + "\n"
        )

    @classmethod
    def from_json(cls, data: bytes | str, place: str = "model.json") -> ModelDescription:
        """Reads what :meth:`to_json` wrote.

        Raises:
            InputError: not JSON, another format number, a field missing or unknown.
        """
        try:
            raw = json.loads(data)
            if raw.pop("format") != FORMAT:
                raise ValueError(f"format is not {FORMAT}")
            cmvn = raw.pop("cmvn")
            return cls(
                front_end=_front_end(raw.pop("front_end")),
                cmvn=None if cmvn is None else Cmvn(tuple(cmvn["mean"]), tuple(cmvn["istd"])),
                tokens=tuple(raw.pop("tokens")),
                graphs=tuple(raw.pop("graphs")),
                streaming=_streaming(raw.pop("streaming")),
                decode=_decode(raw.pop("decode")),
                **raw,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"the model description cannot be read: {error}",
                code="model-description",
                place=place,
                remedy="build the bundle again with this version of asrpack",
            ) from error

    @classmethod
    def read(cls, path: Path) -> ModelDescription:
        """Reads a ``model.json`` file."""
        return cls.from_json(path.read_bytes(), str(path))


def _front_end_json(spec: FrontEndSpec) -> dict[str, Any]:
    kind = next(name for name, known in _FRONT_ENDS.items() if isinstance(spec, known))
    return {"kind": kind, **asdict(spec)}


def _front_end(raw: dict[str, Any]) -> FrontEndSpec:
    found: FrontEndSpec = _build(_FRONT_ENDS[raw.pop("kind")], raw)
    return found


def _decode(raw: dict[str, Any]) -> DecodeDefaults:
    ngram = raw.pop("ngram")
    found: DecodeDefaults = _build(DecodeDefaults, raw)
    return found if ngram is None else replace(found, ngram=_build(NgramWeights, ngram))


def _streaming(raw: dict[str, Any] | None) -> Streaming | None:
    if raw is None:
        return None
    states = tuple(
        _build(State, {**state, "shape": tuple(state["shape"])}) for state in raw.pop("states")
    )
    found: Streaming = _build(Streaming, {**raw, "states": states})
    return found


def _build(kind: type[Any], raw: dict[str, Any]) -> Any:
    known = {item.name for item in fields(kind)}
    if unknown := set(raw) - known:
        raise ValueError(f"unknown field {sorted(unknown)[0]!r} of {kind.__name__}")
    return kind(**raw)
