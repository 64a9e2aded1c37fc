"""Reading ``.pdparams`` without Paddle."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrpack.errors import InputError
from asrpack.frontends.pdparams import read_pdparams

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


def write(path: Path, state: Any, protocol: int = 4) -> Path:
    file = path / "weights.pdparams"
    file.write_bytes(pickle.dumps(state, protocol=protocol))
    return file


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_reads_every_protocol_that_paddle_writes(tmp_path: Path, protocol: int) -> None:
    table = {"a.weight": "linear_0.w_0"}
    file = write(
        tmp_path, {"a.weight": WEIGHT, "StructuredToParameterName@@": table}, protocol=protocol
    )
    found = read_pdparams(file)
    assert list(found) == ["a.weight"]
    np.testing.assert_array_equal(found["a.weight"], WEIGHT)


def test_reads_the_quickstart_as_pickle_does(quickstart: Path) -> None:
    file = next(quickstart.glob("*/exp/*/checkpoints/*.pdparams"))
    found = read_pdparams(file)
    expected = pickle.loads(file.read_bytes())
    del expected["StructuredToParameterName@@"]
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_tensors_saved_outside_a_state_dict(tmp_path: Path) -> None:
    found = read_pdparams(write(tmp_path, {"a": ("linear_0.w_0", WEIGHT)}))
    np.testing.assert_array_equal(found["a"], WEIGHT)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_floats_become_float32(tmp_path: Path, dtype: Any) -> None:
    found = read_pdparams(write(tmp_path, {"a": WEIGHT.astype(dtype)}))["a"]
    assert found.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(found, WEIGHT)


def test_bfloat16_is_widened(tmp_path: Path) -> None:
    # Paddle has no NumPy type for it and stores the upper half of each float32 as uint16.
    halves = (WEIGHT.view(np.uint32) >> 16).astype(np.uint16)
    np.testing.assert_array_equal(read_pdparams(write(tmp_path, {"a": halves}))["a"], WEIGHT)


def test_slices_of_large_parameters_are_joined(tmp_path: Path) -> None:
    flat = WEIGHT.reshape(-1)
    state = {
        "a@@.0": flat[:4],
        "a@@.1": flat[4:],
        "UnpackBigParamInfor@@": {"a": {"OriginShape": (2, 3), "slices": ["a@@.0", "a@@.1"]}},
    }
    found = read_pdparams(write(tmp_path, state, protocol=2))
    assert list(found) == ["a"]
    np.testing.assert_array_equal(found["a"], WEIGHT)


@pytest.mark.parametrize(
    "table", [{"a": {"slices": ["gone"], "OriginShape": (2,)}}, {"a": {}}, [1], {"a": 3}]
)
def test_slices_that_do_not_fit(tmp_path: Path, table: Any) -> None:
    with pytest.raises(InputError, match="slices do not fit together"):
        read_pdparams(write(tmp_path, {"UnpackBigParamInfor@@": table}))


class Evil:
    """Runs a command when it is unpickled by a plain pickle."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize(
    ("call", "name"),
    [(os.system, "posix.system"), (eval, "builtins.eval"), (getattr, "builtins.getattr")],
)
def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, call: Any, name: str) -> None:
    mark = tmp_path / "ran"
    state = {"a": WEIGHT, "b": Evil(call, f"touch {mark}")}
    with pytest.raises(InputError, match=name) as caught:
        read_pdparams(write(tmp_path, state))
    assert caught.value.code == "weights-unsafe"
    assert not mark.exists()


def test_an_object_array_may_not_smuggle_a_call(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    array = np.array([Evil(os.system, f"touch {mark}")], dtype=object)
    with pytest.raises(InputError, match=r"posix\.system"):
        read_pdparams(write(tmp_path, {"a": array}))
    assert not mark.exists()


def test_every_cut_is_an_error(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": WEIGHT}, protocol=4)
    file = tmp_path / "weights.pdparams"
    for length in range(1, len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(InputError) as caught:
            read_pdparams(file)
        assert caught.value.code == "weights-damaged"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "weights-empty"),
        (b"\x00" * 64, "weights-damaged"),
        (b"PK\x03\x04 not a pickle", "weights-damaged"),
        (pickle.dumps([1, 2]), "weights-damaged"),
        (pickle.dumps({1: WEIGHT}), "weights-damaged"),
        (pickle.dumps({"a": "text"}), "parameter-type"),
        (pickle.dumps({"a": np.array(["text"])}), "parameter-type"),
        (pickle.dumps({"a": np.arange(3)}), "parameter-type"),
    ],
)
def test_what_is_no_weights_file(tmp_path: Path, data: bytes, code: str) -> None:
    file = tmp_path / "weights.pdparams"
    file.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_pdparams(file)
    assert caught.value.code == code
    assert caught.value.place == str(file)
    assert caught.value.remedy


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_pdparams(tmp_path / "none.pdparams")
    assert caught.value.code == "weights-unreadable"
