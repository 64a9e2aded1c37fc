"""Each kind of layer as ONNX: sizes that were never traced, padding included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("paddle2onnx")

from asrpack.graph.from_paddle import convert
from asrpack.networks.inference_files import run_layer, save
from asrpack.networks.u2 import EncoderGraph, build, decoder_graphs
from asrpack.networks.u2_graphs import graph_specs
from asrpack.runtime.decoding.hypotheses import prefix_tree
from tests.networks.variants import VARIANTS, weights

TOLERANCE = 1e-4
SIZES = ((90,), (7,), (120, 119, 118, 117, 61, 15, 7))


def session(layer: Any, spec: Any, folder: Path) -> Any:
    import onnxruntime

    save(layer, spec, folder)
    model = convert(folder / spec.name, spec).SerializeToString()
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    "name",
    [
        "rotary positions",
        "transformer: plain",
        "squeezeformer: two reductions, conv2d",
        "squeezeformer: static chunks",
    ],
)
def test_encoder(name: str, tmp_path: Path) -> None:
    spec = VARIANTS[name]
    graph = graph_specs(spec)[0]
    layer = EncoderGraph(build(spec, weights(spec)))
    onnx = session(layer, graph, tmp_path)
    generator = np.random.default_rng(8)
    for lengths in SIZES:
        feats = generator.normal(size=(len(lengths), max(lengths), 80)).astype(np.float32)
        feed = {"feats": feats, "feat_lens": np.array(lengths)}
        expected = run_layer(layer, graph, feed)
        found = dict(zip(graph.output_names, onnx.run(graph.output_names, feed), strict=True))
        counts = expected["out_lens"]
        assert found["out_lens"].tolist() == counts.tolist()
        assert counts.tolist() == [spec.encoder.subsampling.length(item) for item in lengths]
        for output in ("encoder_out", "ctc_log_probs"):
            assert found[output].shape == expected[output].shape
            for row, count in enumerate(counts):
                np.testing.assert_allclose(
                    found[output][row, :count], expected[output][row, :count], atol=TOLERANCE
                )


def test_right_decoder(tmp_path: Path) -> None:
    spec = VARIANTS["decoder: both ways"]
    graph = graph_specs(spec)[2]
    assert graph.name == "right_decoder"
    layer = decoder_graphs(build(spec, weights(spec)))[graph.name]
    onnx = session(layer, graph, tmp_path)
    generator = np.random.default_rng(9)
    tree = prefix_tree([(2, 3, 4), (2, 3, 5, 6), (7,), ()], 12)
    several = generator.integers(1, 12, size=(3, 9))
    for hyps_in, ancestors, frames in (
        (np.array([[12]]), np.tri(1), 3),
        (several, np.tri(9), 11),
        (tree.units[None], tree.ancestors, 6),
    ):
        feed = {
            "encoder_out": generator.normal(size=(1, frames, 16)).astype(np.float32),
            "hyps_in": hyps_in,
            "ancestors": ancestors.astype(np.int64),
        }
        expected = run_layer(layer, graph, feed)
        for output, found in zip(graph.output_names, onnx.run(None, feed), strict=True):
            np.testing.assert_allclose(found, expected[output], atol=TOLERANCE)
