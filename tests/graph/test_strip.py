from __future__ import annotations

import numpy as np
from onnx import helper

from asrpack.graph.strip import Strip
from tests.graph.small import applied, graph, same_numbers


def test_nothing_of_the_toolchain_stays(rng):
    before = graph(
        [helper.make_node("Relu", ["x"], ["y"], doc_string="/home/builder/model.py:12")],
        {"x": ["B", 4]},
        {"y": ["B", 4]},
    )
    before.producer_name, before.producer_version = "PaddlePaddle", "9.9"
    before.doc_string = "made in /home/builder"
    before.graph.doc_string = "/home/builder"
    before.graph.input[0].doc_string = "/home/builder"
    helper.set_model_props(before, {"path": "/home/builder"})
    before.graph.node[0].metadata_props.add(key="source", value="/home/builder")
    after = applied(before, Strip("encoder"))
    assert b"builder" not in after.SerializeToString()
    assert (after.producer_name, after.producer_version) == ("asrpack", "")
    assert after.graph.name == "encoder"
    assert [item.name for item in after.graph.input] == ["x"]
    assert same_numbers(before, after, {"x": rng.standard_normal((3, 4), np.float32)})
