"""Imported models with a probe, for the stages that run Paddle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asrpack.bundle.model import FbankSpec, ModelDescription, Streaming
from asrpack.measure.compare import save_arrays
from asrpack.networks.u2_graphs import streaming_states
from asrpack.networks.u2_spec import U2Spec
from tests.networks.variants import weights


def imported(spec: U2Spec, folder: Path, *, streaming: bool = False) -> dict[str, Path]:
    """Inputs of ``export`` for a model with random weights: description, params, probe."""
    folder.mkdir(parents=True, exist_ok=True)
    last = spec.vocab_size - 1
    description = ModelDescription(
        family="paddlespeech_u2",
        front_end=FbankSpec(num_mel_bins=spec.encoder.input_dim),
        cmvn=None,
        tokens=tuple(map(str, range(spec.vocab_size))),
        subsampling=spec.encoder.subsampling.factor,
        right_context=spec.encoder.subsampling.right_context,
        max_frames=spec.encoder.max_len,
        graphs=("encoder", "decoder"),
        streaming=Streaming(16, -1, streaming_states(spec)) if streaming else None,
        sos_id=last,
        eos_id=last,
        network=spec.to_dict(),
    )
    generator = np.random.default_rng(6)
    probe = {
        "feats": generator.normal(size=(3, 90, spec.encoder.input_dim)).astype(np.float32),
        "feat_lens": np.array([90, 61, 31]),
        "hyps_in": generator.integers(1, last, size=(3, 8)),
        "hyps_lens": np.array([8, 3, 1]),
    }
    probe["hyps_in"][:, 0] = last
    (folder / "model.json").write_text(description.to_json())
    save_arrays(folder / "params.npz", weights(spec))
    save_arrays(folder / "probe.npz", probe)
    return {
        "description": folder / "model.json",
        "params": folder / "params.npz",
        "probe": folder / "probe.npz",
    }
