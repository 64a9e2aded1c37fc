"""The stages from parameters to an optimized DeepSpeech2 graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from asrpack.bundle.model import ModelDescription
from asrpack.measure.compare import save_arrays
from asrpack.networks.deepspeech2_spec import DeepSpeech2Spec
from asrpack.stages.convert import Convert
from asrpack.stages.export import Export
from asrpack.stages.optimize import Optimize
from asrpack.stages.stage import Context, Params
from tests.networks.deepspeech2_variants import batch


def optimize(
    about: ModelDescription, parameters: Mapping[str, np.ndarray], workspace: Path
) -> Path:
    """The folder of the optimized graph; every stage compares with the one before."""
    paths = {
        name: workspace / file
        for name, file in (
            ("description", "model.json"),
            ("params", "params.npz"),
            ("probe", "probe.npz"),
            ("paddle", "export/paddle"),
            ("cases", "export/cases.npz"),
            ("onnx", "convert/onnx"),
        )
    }
    paths["description"].write_text(about.to_json())
    save_arrays(paths["params"], parameters)
    lengths = (150, 61, 31)
    feats = batch(DeepSpeech2Spec.from_dict(about.network), lengths)
    save_arrays(paths["probe"], {"feats": feats, "feat_lens": np.array(lengths)})
    # In this process: only the bytes need a fresh one.
    for stage in (Export(), Convert(), Optimize()):
        (workspace / stage.name).mkdir()
        stage.run(Params(), paths, workspace / stage.name, Context())
    return workspace / "optimize/onnx"
