"""What the runtime must know of a model besides its graphs: ``model.json``.

Written by a frontend at import, carried (encrypted) in the bundle, read by the runtime.
Standard library only: this file ships inside bundles.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from asrpack.errors import InputError

FORMAT = 1
DECODE_METHODS = ("ctc_greedy_search", "ctc_prefix_beam_search", "attention_rescoring")


@dataclass(frozen=True)
class FbankSpec:
    """Kaldi log-mel filterbank options, exactly as the model was trained.

    Samples are floats on the int16 scale. ``high_freq`` 0 means Nyquist. ``log_floor`` is the
    least mel energy before the logarithm (PaddleSpeech: 1e-7, not the float epsilon).
    """

    sample_rate: int = 16000
    num_mel_bins: int = 80
    frame_length_ms: float = 25.0
    frame_shift_ms: float = 10.0
    preemphasis: float = 0.97
    low_freq: float = 20.0
    high_freq: float = 0.0
    log_floor: float = 1e-7


@dataclass(frozen=True)
class Cmvn:
    """Mean and inverse standard deviation per feature bin, applied before the graph."""

    mean: tuple[float, ...]
    istd: tuple[float, ...]


@dataclass(frozen=True)
class DecodeDefaults:
    """Decoding options where the caller gives none; names as PaddleSpeech's ``decode`` section."""

    method: str = "attention_rescoring"
    beam_size: int = 10
    ctc_weight: float = 0.5


@dataclass(frozen=True)
class ModelDescription:
    """Front end, units and decoding of one model.

    Attributes:
        family: the frontend that read it, e.g. ``paddlespeech_u2``.
        tokens: unit of each output id; ``<space>`` stands for " ".
        subsampling: encoder input frames for one output frame.
        right_context: input frames that the first output frame sees beyond its own.
        max_frames: longest encoder *output* (positional table), in frames.
        network: the family's own hyper-parameters; needed to export, not to run.
    """

    family: str
    fbank: FbankSpec
    cmvn: Cmvn | None
    tokens: tuple[str, ...]
    subsampling: int
    right_context: int
    max_frames: int
    has_decoder: bool
    decode: DecodeDefaults = field(default_factory=DecodeDefaults)
    blank_id: int = 0
    sos_id: int = -1
    eos_id: int = -1
    network: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no white space, one newline at the end."""
        return (
            json.dumps(
                {"format": FORMAT, **asdict(self)},
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
                fbank=_build(FbankSpec, raw.pop("fbank")),
                cmvn=None if cmvn is None else Cmvn(tuple(cmvn["mean"]), tuple(cmvn["istd"])),
                tokens=tuple(raw.pop("tokens")),
                decode=_build(DecodeDefaults, raw.pop("decode")),
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


def _build(kind: type[Any], raw: dict[str, Any]) -> Any:
    known = {item.name for item in fields(kind)}
    if unknown := set(raw) - known:
        raise ValueError(f"unknown field {sorted(unknown)[0]!r} of {kind.__name__}")
    return kind(**raw)
