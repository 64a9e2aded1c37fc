"""Shapes that TensorRT builds engines for, of every input of every graph of a model."""

from __future__ import annotations

import math
from dataclasses import dataclass

from asrpack.bundle.model import ModelDescription
from asrpack.bundle.provider import ShapeRange
from asrpack.errors import InputError
from asrpack.networks.families import graph_specs
from asrpack.networks.interface import GraphSpec, TensorSpec
from asrpack.runtime.endpointing import Endpointing
from asrpack.runtime.front_end import FrontEnd

Three = tuple[int, int, int]


@dataclass(frozen=True)
class Profile:
    """What a host will run: likeliest and greatest.

    Attributes:
        batch: utterances in a run.
        seconds: of an utterance.
    """

    batch: tuple[int, int]
    seconds: tuple[float, float]


def profile_shapes(
    description: ModelDescription, profile: Profile
) -> dict[str, dict[str, ShapeRange]]:
    """Ranges by graph and input, of the inputs with a free axis.

    The least is one utterance that gives one frame. Histories and caches start from nothing, so
    their least size is 0. A decoder is given one utterance at a time: as many hypotheses as the
    beam holds, or, where it takes that, one tree of them. Neither is longer than the encoder's
    frames, and the start of sentence.

    Raises:
        InputError: the profile's longest utterance is longer than the model takes.
    """
    batch = (1, *profile.batch)
    front_end = FrontEnd(description.front_end, description.cmvn)
    least = description.right_context + 1
    likely = front_end.frames(math.ceil(profile.seconds[0] * description.sample_rate))
    longest = longest_utterance(description, profile.seconds[1])
    # All that the runtime takes for no longer than that.
    frames = (least, max(likely, least), longest * description.subsampling)
    steps = (1, output_frames(description, frames[1]), longest)
    beam = description.decode.beam_size
    encoder: dict[str, Three] = {"B": batch, "T": frames, "C": _history(description, steps)}

    def sizes(spec: GraphSpec) -> dict[str, Three]:
        if spec.name == "encoder":
            return encoder
        trees = any(item.name == "ancestors" for item in spec.inputs)
        return {
            "N": (1, 1 if trees else beam, beam),
            "T_out": steps,
            "L": (1, max(1, steps[1] // (2 if trees else 4)), longest + 1),
            "C": (0, 0, longest),
        }

    return {spec.name: _ranges(spec, sizes(spec)) for spec in graph_specs(description)}


def longest_utterance(description: ModelDescription, seconds: float) -> int:
    """The encoder's output frames of so long an utterance, for ``ModelDescription.max_frames``.

    Raises:
        InputError: it is longer than the model takes.
    """
    front_end = FrontEnd(description.front_end, description.cmvn)
    rate = description.sample_rate
    frames = output_frames(description, front_end.frames(math.ceil(seconds * rate)))
    longest = description.max_frames
    if longest is not None and frames > longest:
        most = front_end.samples(longest * description.subsampling) / rate
        raise InputError(
            f"the longest utterance of the profile is {seconds:g} s, and the model takes at most "
            f"{most:.1f} s",
            code="profile-seconds",
            place="tensorrt.profile.seconds.max",
            remedy=f"set it to {math.floor(most)} or less",
        )
    return frames


def output_frames(description: ModelDescription, frames: int) -> int:
    """The most that the encoder gives for so many input frames."""
    return max(1, -(-frames // description.subsampling))


def _history(description: ModelDescription, steps: Three) -> Three:
    """Frames of history that a chunk sees."""
    streaming = description.streaming
    if streaming is None:
        return (0, 0, 0)
    if streaming.left_chunks >= 0:
        most = streaming.chunk_size * streaming.left_chunks
    else:  # an utterance ends by then, and another chunk may have begun
        front_end = FrontEnd(description.front_end, description.cmvn)
        samples = math.ceil(Endpointing().max_seconds * description.sample_rate)
        frames = front_end.frames(samples)
        most = max(steps[2], output_frames(description, frames) + streaming.chunk_size)
    return (0, min(steps[1], most), most)


def _ranges(spec: GraphSpec, sizes: dict[str, Three]) -> dict[str, ShapeRange]:
    return {
        item.name: ShapeRange(*(_shape(item, sizes, which) for which in range(3)))
        for item in spec.inputs
        if any(isinstance(size, str) for size in item.dims)
    }


def _shape(item: TensorSpec, sizes: dict[str, Three], which: int) -> tuple[int, ...]:
    return tuple(sizes[size][which] if isinstance(size, str) else size for size in item.dims)
