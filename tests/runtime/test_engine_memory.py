"""What sessions keep: in processes of their own, as memory is a process's."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from asrpack.bundle.model import DecodeDefaults
from tests.runtime import tiny

FLOAT = onnx.TensorProto.FLOAT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is Linux's to tell")

_LENGTHS = """
import sys
from pathlib import Path
import numpy as np
from asrpack.runtime.engines.onnxruntime import open_session
from asrpack.runtime.memory import forget_peak, peak_bytes, resident_bytes

session = open_session(Path(sys.argv[1]).read_bytes(), "graph.onnx", 1)
longest = int(sys.argv[2])
samples = np.ones(longest, np.float32)
session.run(None, {"x": samples[:1]})
before = resident_bytes()
forget_peak()
for tenth in (4, 5, 6, 7, 8, 9, 10):
    session.run(None, {"x": samples[: longest * tenth // 10]})
print(peak_bytes() - before)
"""

_LOADED = """
import sys
from pathlib import Path
from asrpack.bundle.model import ModelDescription
from asrpack.runtime.memory import release_freed, resident_bytes
from asrpack.runtime.recognizer import Recognizer

folder = Path(sys.argv[1])
about = ModelDescription.read(folder / "model.json")
recognizer = Recognizer(about, {"encoder.onnx": (folder / "encoder.onnx").read_bytes()}, threads=1)
kept = resident_bytes()
release_freed()
print(kept - resident_bytes())
"""


def number(script: str, *arguments: object) -> int:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_recordings_of_many_lengths_need_what_the_longest_needs(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Concat", ["x", "x"], ["two"], axis=0),
        helper.make_node("Concat", ["two", "two"], ["four"], axis=0),
        helper.make_node("ReduceMax", ["four"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", FLOAT, [1])],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "graph.onnx")
    longest = 4_000_000
    at_once = 6 * 4 * longest
    taken = number(_LENGTHS, tmp_path / "graph.onnx", longest)
    assert 0.99 * at_once < taken < 1.1 * at_once  # the peak is counted in pages


def test_loading_leaves_nothing_but_the_model(tmp_path: Path) -> None:
    about = tiny.describe(graphs=("encoder",), decode=DecodeDefaults(method="ctc_greedy_search"))
    (tmp_path / "model.json").write_text(about.to_json())
    model = onnx.load_from_string(tiny.encoder())
    random, layers = np.random.default_rng(0), 40
    widths = [tiny.BINS, *[512, 1024] * (layers // 2), 512]
    for layer, shape in enumerate(itertools.pairwise(widths)):
        values = random.random(shape, np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, f"weight{layer}"))
        inputs = [f"x{layer}" if layer else "feats", f"weight{layer}"]
        model.graph.node.append(helper.make_node("MatMul", inputs, [f"x{layer + 1}"]))
    last = ["B", "T", widths[-1]]
    model.graph.output.append(helper.make_tensor_value_info(f"x{len(widths) - 1}", FLOAT, last))
    onnx.save(model, tmp_path / "encoder.onnx")
    weights = 4 * 512 * 1024 * layers
    assert number(_LOADED, tmp_path) < weights // 10
