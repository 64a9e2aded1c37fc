"""Paddle's programs and parameters, read and written without Paddle, run by Paddle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from asrpack.errors import InputError
from asrpack.graph.pir import precision
from asrpack.graph.pir.program import Program
from asrpack.graph.pir.weights import weight_matrices
from asrpack.networks.inference_files import save
from asrpack.networks.interface import GraphSpec, floats
from asrpack.runtime.engines import Graph, open_graph

SPEC = GraphSpec("net", (floats("x", "B", "T", 64),), (floats("y", "B", "T", 70),))
FEED = {"x": np.random.default_rng(0).standard_normal((2, 9, 64)).astype(np.float32)}


class Net(nn.Layer):
    """A product, one from the right, a pointwise convolution, an LSTM, and the output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, 128)
        self.other = paddle.create_parameter([128, 64], "float32")
        self.pointwise = nn.Conv1D(64, 128, 1)
        self.depthwise = nn.Conv1D(128, 128, 3, padding=1, groups=128)
        self.lstm = nn.LSTM(128, 64)
        self.output = nn.Linear(64, 70)
        for name, parameter in self.named_parameters():  # as asrpack's networks have them
            parameter.name = name

    def forward(self, x):
        h = nn.functional.relu(self.hidden(x))
        h = paddle.matmul(h, self.other) + paddle.matmul(x, self.other, transpose_y=True)[..., :64]
        h = self.depthwise(self.pointwise(h.transpose([0, 2, 1]))).transpose([0, 2, 1])
        return nn.functional.log_softmax(self.output(self.lstm(h)[0]))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph's path without suffix, as Paddle wrote it."""
    folder = tmp_path_factory.mktemp("net")
    paddle.seed(0)
    layer = Net()
    layer.eval()
    save(layer, SPEC, folder)
    return folder / "net"


def opened(path: Path) -> Graph:
    files = {item.name: item.read_bytes() for item in path.parent.glob(f"{path.name}.*")}
    return open_graph("paddle_inference", path.name, files, 1)


def output(path: Path) -> np.ndarray:
    graph = opened(path)
    return graph.run(graph.outputs, FEED)[0]


def rewritten(exported: Path, folder: Path, change) -> Path:
    program = Program.load(exported)
    change(program)
    program.save(folder / "net")
    return folder / "net"


def test_what_is_read_is_written_to_the_byte(exported: Path, tmp_path: Path) -> None:
    again = rewritten(exported, tmp_path, lambda program: None)
    for suffix in (".json", ".pdiparams"):
        assert again.with_suffix(suffix).read_bytes() == exported.with_suffix(suffix).read_bytes()


def test_outputs_get_names(exported: Path, tmp_path: Path) -> None:
    assert opened(exported).outputs == ("fetch_name_0",)
    named = rewritten(exported, tmp_path, lambda program: program.name_outputs(["y"]))
    graph = opened(named)
    assert (graph.outputs, graph.inputs) == (("y",), {"x": (-1, -1, 64)})


def test_matrices_are_what_products_and_pointwise_convolutions_multiply_by(exported: Path) -> None:
    """Not one that is transposed somewhere, and none of the LSTM."""
    program = Program.load(exported)
    found = {matrix.name: matrix.values().shape for matrix in weight_matrices(program)}
    assert found == {
        "hidden.weight": (64, 128),
        "pointwise.weight": (64, 128),
        "output.weight": (64, 70),
    }
    assert precision.output_layers(program) == {"output.weight"}


def test_what_is_stored_is_what_runs(exported: Path, tmp_path: Path) -> None:
    """A pointwise kernel, too, which is stored the other way round."""

    def swap(program: Program) -> None:
        for matrix in weight_matrices(program):
            if matrix.name == "pointwise.weight":
                matrix.store(matrix.values()[::-1] * 2)

    before = Program.load(exported).parameters["pointwise.weight"]
    path = rewritten(exported, tmp_path, swap)
    after = Program.load(path).parameters["pointwise.weight"]
    np.testing.assert_array_equal(after, 2 * before[:, ::-1])
    assert np.abs(output(path) - output(exported)).max() > 1e-3


@pytest.mark.parametrize(
    ("change", "tolerance", "ratio"),
    [
        (precision.to_fp16, 2e-3, 0.52),
        (lambda program: precision.to_int8(program, set()), 0.1, 0.45),
        (lambda program: precision.to_int8(program, {"hidden.weight"}), 0.1, 0.5),
    ],
)
def test_fewer_bits_give_nearly_the_same(
    exported: Path, tmp_path: Path, change, tolerance: float, ratio: float
) -> None:
    path = rewritten(exported, tmp_path, change)
    assert 0 < np.abs(output(path) - output(exported)).max() < tolerance
    before, after = (item.with_suffix(".pdiparams").stat().st_size for item in (exported, path))
    assert after < ratio * before


def test_int8_is_per_output_channel_and_leaves_out_what_it_is_told_to(exported: Path) -> None:
    program = Program.load(exported)
    before = {matrix.name: matrix.values() for matrix in weight_matrices(program)}
    precision.to_int8(program, {"output.weight"})
    for matrix in weight_matrices(program):
        weight = before[matrix.name]
        if matrix.name == "output.weight":
            assert matrix.steps is None
            continue
        np.testing.assert_allclose(matrix.steps, np.abs(weight).max(axis=0) / 127, rtol=1e-6)
        assert np.abs(matrix.codes()).max(axis=0).tolist() == [127] * weight.shape[1]
        assert (np.abs(matrix.values() - weight) <= 0.501 * matrix.steps).all()
    stored = {name: str(item.dtype) for name, item in program.parameters.items()}
    assert stored["lstm.weight_ih_l0"] == stored["hidden.weight"] == "int8"
    assert stored["hidden.bias"] == stored["output.weight"] == "float32"


def test_numbers_beyond_fp16_are_clipped(exported: Path, tmp_path: Path) -> None:
    def grow(program: Program) -> None:
        program.store("hidden.weight", np.full((64, 128), 1e6, np.float32))
        precision.to_fp16(program)

    program = Program.load(rewritten(exported, tmp_path, grow))
    assert np.isfinite(program.parameters["hidden.weight"]).all()


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".json", lambda data: data[:-2]),
        (".json", lambda data: b'{"a": 1}'),
        (".json", lambda data: data.replace(b"[64,128]", b"[128,64]")),
        (".pdiparams", lambda data: data[:-5]),
        (".pdiparams", lambda data: data[: len(data) // 2]),
        (".pdiparams", lambda data: b"\1" + data[1:]),
        (".pdiparams", lambda data: b""),
        (".pdiparams", lambda data: data + data),
        (".pdiparams", None),
    ],
)
def test_damaged_files_are_refused(exported: Path, tmp_path: Path, suffix: str, damage) -> None:
    for item in (".json", ".pdiparams"):
        data = exported.with_suffix(item).read_bytes()
        if item != suffix:
            (tmp_path / f"net{item}").write_bytes(data)
        elif damage is not None:
            assert damage(data) != data
            (tmp_path / f"net{item}").write_bytes(damage(data))
    with pytest.raises(InputError, match="cannot be read") as caught:
        Program.load(tmp_path / "net")
    assert caught.value.code == "paddle-unreadable"
