"""What a leak, or somebody who wants ``asrpack trace`` to fail, may hand in as a suspect."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from asrpack.cli import main
from asrpack.protect.detection import ACCUSE_Z
from asrpack.runtime.memory import forget_peak, peak_bytes
from tests.trace import hostile
from tests.trace.conftest import Traced
from tests.trace.models import (
    GUILTY,
    SHAPES,
    graph_of,
    marked_matrices,
    original_matrices,
    save_graph,
    tensors_of,
)

DAMAGED = "suspect-damaged"
REFUSED: dict[str, tuple[hostile.Write, str]] = {
    **{f"noise {suffix}": (hostile.noise(suffix), DAMAGED) for suffix in hostile.SUFFIXES},
    "noise .onnx": (hostile.noise(".onnx"), "not-onnx"),
    "noise .pdparams": (hostile.noise(".pdparams"), "weights-damaged"),
    **{f"cut {suffix}": (hostile.cut(suffix), DAMAGED) for suffix in hostile.SUFFIXES},
    "cut .onnx": (hostile.cut(".onnx"), "onnx-truncated"),
    "cut .pdparams": (hostile.cut(".pdparams"), "weights-damaged"),
    **{f"empty {suffix}": (hostile.empty(suffix), DAMAGED) for suffix in hostile.SUFFIXES},
    "empty .onnx": (hostile.empty(".onnx"), "not-onnx"),
    "empty .pdparams": (hostile.empty(".pdparams"), "weights-empty"),
    "empty .pdiparams": (hostile.empty(".pdiparams"), "suspect-unrelated"),
    **{
        f"sparse {suffix}": (hostile.sparse(suffix), "suspect-too-large")
        for suffix in hostile.SUFFIXES
    },
    "a terabyte beside it": (hostile.sparse_neighbour, "suspect-too-large"),
    "pipe": (hostile.fifo, "suspect-kind"),
    "link to itself": (hostile.link_to_nowhere, "suspect-missing"),
    "text": (hostile.other_kind, "suspect-kind"),
    "empty folder": (hostile.empty_folder, "suspect-kind"),
    "call in .pdparams": (hostile.pickled_call, "weights-unsafe"),
    "call in .npy": (hostile.pickled_call_in_npy, DAMAGED),
    "call in .npz": (hostile.pickled_call_in_npz, DAMAGED),
    "pickled list": (hostile.pickle_of_no_names, "weights-damaged"),
    "pickled allocation": (hostile.pickle_of_a_huge_array, "weights-damaged"),
    "pickle without end": (hostile.pickle_without_end, "weights-damaged"),
    "dump of odd length": (hostile.bytes_left_over, DAMAGED),
    "dump of fewer numbers": (hostile.header_of_more, DAMAGED),
    "dump of negative size": (hostile.header_below_zero, DAMAGED),
    "archive bomb": (hostile.archive_bomb, DAMAGED),
    "thousands of copies": (hostile.many_copies, DAMAGED),
    "offsets overlap": (hostile.offsets_overlap, DAMAGED),
    "endless header": (hostile.header_without_end, DAMAGED),
    "odd number of bytes": (hostile.onnx_of(hostile.odd_bytes), DAMAGED),
    "no numbers": (hostile.onnx_of(hostile.no_numbers), DAMAGED),
    "blocks of nothing": (hostile.onnx_of(hostile.blocks_of_nothing), DAMAGED),
    "steps of another axis": (hostile.onnx_of(hostile.axis_of_nowhere), DAMAGED),
    "external file missing": (
        hostile.onnx_of(hostile.external(location="weights")),
        "onnx-external-missing",
    ),
    "external file outside": (
        hostile.onnx_of(hostile.external(location="../../../etc/passwd")),
        "onnx-external-outside",
    ),
    "external place no number": (
        hostile.onnx_of(hostile.external(location="suspect.onnx", offset="x")),
        "onnx-external-place",
    ),
    "external place below zero": (
        hostile.onnx_of(hostile.external(location="suspect.onnx", offset="-5", length="40960")),
        DAMAGED,
    ),
    "external file of a terabyte": (hostile.external_sparse, DAMAGED),
}


@pytest.mark.timeout(120)  # a terabyte takes longer, to read or to hash
@pytest.mark.parametrize(
    ("write", "code"), [pytest.param(*case, id=name) for name, case in REFUSED.items()]
)
def test_refused_with_place_cause_and_remedy(
    write: hostile.Write, code: str, tmp_path: Path, trace: Traced
) -> None:
    suspect = write(tmp_path)
    forget_peak()
    before = peak_bytes()
    exit_code, error = trace(suspect)
    assert (exit_code, error["code"]) == (3, code)
    assert str(suspect) in error["path"]
    assert error["message"] and error["remedy"]
    assert peak_bytes() - before < 1 << 30
    assert not (tmp_path / "it-ran").exists()


def test_an_error_is_told_in_words(
    tmp_path: Path, vendor: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    suspect = hostile.pickled_call(tmp_path)
    assert main(["trace", str(suspect), *vendor]) == 3
    told = capsys.readouterr()
    assert not told.out and "Traceback" not in told.err
    assert str(suspect) in told.err and "system" in told.err and "remedy:" in told.err


NOT_ITS_MODEL = {
    "all NaN": lambda value: np.full_like(value, np.nan),
    "all infinite": lambda value: np.full_like(value, np.inf),
    "zeros": np.zeros_like,
    "one number": np.ones_like,
    "other weights": lambda value: np.random.default_rng(5).standard_normal(value.shape),
    "numbers beyond fp32": lambda value: value.astype(np.float64) * 1e300,
    "codes without steps": lambda value: np.sign(value).astype(np.int8) * 0,
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("change", NOT_ITS_MODEL)
def test_what_cannot_be_aligned_is_not_compared(change: str, tmp_path: Path, trace: Traced) -> None:
    path = tmp_path / "suspect.npz"
    np.savez(path, **{n: NOT_ITS_MODEL[change](v) for n, v in marked_matrices().items()})
    exit_code, error = trace(path)
    assert (exit_code, error["code"]) == (3, "suspect-unrelated")
    assert error["path"] == str(path) and "--original" in error["remedy"]


HARMLESS = {
    "half of it NaN": lambda value: np.where(np.arange(value.size).reshape(value.shape) % 2,
                                             value, np.nan),
    "a few infinite": lambda value: np.where(np.arange(value.size).reshape(value.shape) % 97,
                                             value, np.inf),
    "transposed": lambda value: value.T,
    "fp64": lambda value: value.astype(np.float64),
    "fp16": lambda value: value.astype(np.float16),
    "by column": np.asfortranarray,
    "more axes": lambda value: value[None, :, None, :, None],
    "other byte order": lambda value: value.astype(">f4"),
    "as small as fp32 goes": lambda value: value * np.float32(1e-35),
    "as large as fp32 goes": lambda value: value * np.float32(1e37),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("change", HARMLESS)
def test_the_customer_is_found_in_odd_numbers(change: str, tmp_path: Path, trace: Traced) -> None:
    path = tmp_path / "suspect.npz"
    np.savez(path, **{n: HARMLESS[change](v) for n, v in marked_matrices().items()})
    _one_is_named(trace(path))


def _one_is_named(told: tuple[int, dict]) -> None:
    code, results = told
    assert code == 0, results
    named = {name for name, item in results.items() if item["z"] >= ACCUSE_Z}
    assert named == {GUILTY}
    assert all(item["verdict"] == "named" for item in results.values() if item["z"] >= ACCUSE_Z)


def test_tensors_that_are_no_matrices_are_passed_over(tmp_path: Path, trace: Traced) -> None:
    model = graph_of(tensors_of(marked_matrices()))
    words = helper.make_tensor("words", TensorProto.STRING, [64, 160], [b"x"] * (64 * 160))
    unknown = TensorProto(name="unknown", dims=[64, 160], data_type=99, raw_data=b"x")
    below_zero = TensorProto(name="below", dims=[-64, 160], data_type=1, raw_data=b"x")
    model.graph.initializer.extend([words, unknown, below_zero])
    for name, array in {
        "nothing": np.zeros((0, 160), np.float32),
        "truths": np.ones((64, 160), bool),
        "complex": np.ones((64, 160), np.complex64),
        "counts": np.ones((64, 160), np.int64),
    }.items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    path = tmp_path / "suspect.onnx"
    path.write_bytes(model.SerializeToString())
    _one_is_named(trace(path))


def test_names_that_collide_hide_nothing(tmp_path: Path, trace: Traced) -> None:
    """In a graph the last of a name is what a runtime takes; other files keep them apart."""
    decoy = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    model = graph_of([*tensors_of(decoy), *tensors_of(marked_matrices())])
    for format_ in ("graph", "folder"):
        path = tmp_path / format_
        path.mkdir()
        if format_ == "graph":
            path /= "suspect.onnx"
            path.write_bytes(model.SerializeToString())
        else:
            save_graph(path / "model.onnx", decoy)
            np.savez(path / "model.npz", **marked_matrices())
            (path / "model.pdparams").write_bytes(pickle.dumps(decoy))
        _one_is_named(trace(path))


def test_the_original_itself_names_nobody(tmp_path: Path, trace: Traced) -> None:
    code, results = trace(save_graph(tmp_path / "suspect.onnx", original_matrices()))
    assert code == 0
    assert all(item["verdict"] == "not named" and item["z"] == 0 for item in results.values())
