"""Runs a model's graphs on recordings as recognition runs them, for whoever looks inside."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.bundle.model import ModelDescription
from asrpack.errors import InputError
from asrpack.measure.cases import Run, empty_cache
from asrpack.networks.interface import GraphSpec
from asrpack.recipe.manifest import Utterance, read_manifest
from asrpack.runtime.audio import read_audio
from asrpack.runtime.decoding.hypotheses import padded
from asrpack.runtime.front_end import FrontEnd
from asrpack.runtime.states import EncoderState
from asrpack.runtime.text import units_of


@dataclass(frozen=True)
class CalibrationSet:
    """What ranges were measured on.

    Attributes:
        sha256: over the digests of the recordings and their texts, in order.
    """

    utterances: int
    audio_seconds: float
    sha256: str

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def run_on_recordings(
    description: ModelDescription,
    specs: Sequence[GraphSpec],
    manifest: Path,
    run: Run,
    progress: Callable[[int, int, str], None],
    most: int = 200,
) -> CalibrationSet:
    """Calls every graph for each recording.

    The encoder gets the whole recording and, where it streams, each chunk with the states of the
    one before; a decoder gets the reference's units.

    Args:
        description: as configured: its chunks are the recipe's.
        specs: of the graphs.
        run: gives a graph's outputs for a feed of one recording.
        most: recordings, evenly over their lengths. More than 200 hardly move a range;
            PaddleSpeech calibrates on as many.

    Raises:
        InputError: a recording cannot be read, or none is long enough to give a frame.
    """
    front_end = FrontEnd(description.front_end, description.cmvn)
    rate = description.sample_rate
    longest = longest_seconds(description, front_end)
    chosen = spread(read_manifest(manifest), most)
    digest, seconds, used = hashlib.sha256(), 0.0, 0
    for index, utterance in enumerate(chosen):
        progress(index, len(chosen), utterance.id)
        samples = read_audio(utterance.audio, rate, max_seconds=longest)
        feats = front_end(samples)
        if len(feats) <= description.right_context:
            continue
        _run_graphs(description, specs, feats, known_units(utterance.text, description), run)
        digest.update(hashlib.sha256(utterance.audio.read_bytes()).digest())
        digest.update(hashlib.sha256(utterance.text.encode()).digest())
        seconds, used = seconds + len(samples) / rate, used + 1
    if not used:
        raise InputError(
            "every recording is too short for the model to give a frame",
            code="calibration-short",
            place=str(manifest),
            remedy="give recordings of at least half a second",
        )
    return CalibrationSet(used, round(seconds, 3), digest.hexdigest())


def longest_seconds(description: ModelDescription, front_end: FrontEnd) -> float | None:
    """The longest audio that the model takes; None for any."""
    if description.max_frames is None:
        return None
    frames = description.max_frames * description.subsampling
    return front_end.samples(frames) / description.sample_rate


def spread(utterances: Sequence[Utterance], count: int) -> list[Utterance]:
    """At most ``count``, evenly over their lengths (of audio, as the files' sizes tell it)."""
    ordered = sorted(utterances, key=lambda item: (item.audio.stat().st_size, item.id))
    if len(ordered) <= count:
        return ordered
    step = (len(ordered) - 1) / max(1, count - 1)
    return [ordered[round(index * step)] for index in range(count)]


def known_units(text: str, description: ModelDescription) -> tuple[int, ...]:
    """Ids of a text; what the vocabulary lacks becomes ``<unk>``, or is left out without one."""
    tokens = description.tokens
    unknown = tokens.index("<unk>") if "<unk>" in tokens else None
    units = units_of(" ".join(text.split()), tokens, description.unit_type)
    known = (unknown if unit is None else unit for unit in units)
    return tuple(unit for unit in known if unit is not None)


def _run_graphs(
    description: ModelDescription,
    specs: Sequence[GraphSpec],
    feats: NDArray[np.float32],
    units: tuple[int, ...],
    run: Run,
) -> None:
    feed = _features(feats)
    if description.streaming is not None:
        feed |= EncoderState.start(description.streaming).feed(description.streaming)
    encoded = run("encoder", feed)
    if description.streaming is not None:
        _run_chunks(description, feats, run)
    for spec in specs:
        if spec.name == "encoder":
            continue
        # As rescoring does: the right-to-left decoder reads from the end.
        read = units[::-1] if spec.name == "right_decoder" else units
        hyps_in, hyps_lens = padded([read], description.sos, description.eos, description.blank_id)
        given = {
            "encoder_out": encoded["encoder_out"],
            "encoder_lens": encoded["out_lens"],
            "hyps_in": hyps_in,
            "hyps_lens": hyps_lens,
            "ancestors": np.tri(hyps_in.shape[1], dtype=np.int64),
            **empty_cache(spec, 1),
        }
        run(spec.name, {item.name: given[item.name] for item in spec.inputs})


def _run_chunks(description: ModelDescription, feats: NDArray[np.float32], run: Run) -> None:
    """As :class:`asrpack.runtime.streaming.Stream` cuts a recording."""
    streaming, context = description.streaming, description.right_context
    assert streaming is not None
    stride = streaming.chunk_size * description.subsampling
    window = stride - description.subsampling + context + 1
    state = EncoderState.start(streaming)
    for start in range(0, len(feats) - context, stride):
        feed = _features(feats[start : start + window]) | state.feed(streaming)
        found = run("encoder", feed)
        state = state.next(streaming, found, int(found["out_lens"][0]))


def _features(feats: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    return {"feats": feats[None], "feat_lens": np.array([len(feats)], np.int64)}
