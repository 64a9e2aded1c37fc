"""Takes real features and texts on which the steps of a build are compared with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from asrpack.bundle.model import ModelDescription
from asrpack.errors import InputError
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ProbeParams(stage.Params):
    """``utterances``: how many to take at most."""

    utterances: int = Field(default=8, ge=1)


class Probe(Stage):
    """``probe.npz``: a padded batch.

    ``feats`` (B, T, D) float32 after CMVN, or samples (B, n), and ``feat_lens`` (B,) int64;
    ``hyps_in`` (B, L) int64: sos and the reference's units, padded with eos; ``hyps_lens`` (B,)
    int64 with sos.
    """

    name: ClassVar[str] = "probe"
    outputs: ClassVar[tuple[str, ...]] = ("probe.npz",)
    tools: ClassVar[tuple[str, ...]] = ("numpy", "soundfile", "soxr")
    Params: ClassVar[type[stage.Params]] = ProbeParams

    def run(
        self, params: ProbeParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        import numpy as np

        from asrpack.measure.compare import save_arrays
        from asrpack.measure.feeds import known_units, longest_seconds, spread
        from asrpack.recipe.manifest import read_manifest
        from asrpack.runtime.audio import read_audio
        from asrpack.runtime.decoding.hypotheses import padded
        from asrpack.runtime.front_end import FrontEnd

        about = ModelDescription.read(inputs["description"])
        front_end = FrontEnd(about.front_end, about.cmvn)
        rate = about.sample_rate
        longest = longest_seconds(about, front_end)
        candidates = []
        utterances = read_manifest(inputs["manifest"])
        for index, utterance in enumerate(spread(utterances, params.utterances)):
            samples = read_audio(utterance.audio, rate, max_seconds=longest)
            feats = front_end(samples)
            if len(feats) > about.right_context:
                candidates.append((feats, known_units(utterance.text, about)))
            context.progress(index + 1, min(params.utterances, len(utterances)), utterance.id)
        if not candidates:
            raise InputError(
                "every utterance looked at is too short for the model to give a frame",
                code="probe-short",
                place=str(inputs["manifest"]),
                remedy="give recordings of at least half a second",
            )
        hyps_in, hyps_lens = padded(
            [units for _, units in candidates],
            about.sos,
            about.eos,
            about.blank_id,
        )
        arrays: dict[str, NDArray[Any]] = {
            "feats": _padded([feats for feats, _ in candidates]),
            "feat_lens": np.array([len(feats) for feats, _ in candidates], np.int64),
            "hyps_in": hyps_in,
            "hyps_lens": hyps_lens,
        }
        save_arrays(out / "probe.npz", arrays)


def _padded(batch: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    import numpy as np

    padded = np.zeros((len(batch), max(map(len, batch)), *batch[0].shape[1:]), np.float32)
    for row, feats in zip(padded, batch, strict=True):
        row[: len(feats)] = feats
    return padded
