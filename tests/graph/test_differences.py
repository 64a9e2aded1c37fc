"""How far two models' tensors are apart, against NumPy; in fp32, int8 and fp16, ONNX and Paddle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from asrpack.errors import InputError
from asrpack.graph.differences import tensor_differences
from asrpack.graph.stored import graph_format, stored_tensors

DRAW = np.random.default_rng(5)
WEIGHT = DRAW.standard_normal((40, 30)).astype(np.float32)


def model(**tensors: Any) -> dict[str, bytes]:
    """A graph that stores these."""
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items()]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        stored,
    )
    return {"encoder.onnx": helper.make_model(graph).SerializeToString()}


def differences(first: dict[str, bytes], second: dict[str, bytes]) -> Any:
    return tensor_differences(stored_tensors(first), stored_tensors(second))


def test_by_how_much() -> None:
    other = WEIGHT.copy()
    other[3, 4] += 0.5
    other[7] *= 1.01
    found = differences(model(w=WEIGHT, same=WEIGHT), model(w=other, same=WEIGHT))
    (changed,) = found.changed
    assert changed.name == "encoder/w" and found.compared == 2
    wanted = np.linalg.norm(other - WEIGHT) / np.linalg.norm(WEIGHT)
    assert changed.relative_l2 == pytest.approx(wanted, rel=1e-3)
    assert changed.max_abs == pytest.approx(np.abs(other - WEIGHT).max(), rel=1e-3)
    assert changed.fraction == pytest.approx(31 / 1200, rel=1e-3)


def test_the_most_changed_comes_first() -> None:
    one = {"a": WEIGHT, "b": WEIGHT, "c": WEIGHT}
    found = differences(model(**one), model(a=WEIGHT * 1.1, b=WEIGHT * 2, c=WEIGHT))
    assert [item.name for item in found.changed] == ["encoder/b", "encoder/a"]


def test_added_removed_and_reshaped() -> None:
    found = differences(model(w=WEIGHT, old=WEIGHT), model(w=WEIGHT.T.copy(), new=WEIGHT))
    assert (found.added, found.removed) == (("encoder/new",), ("encoder/old",))
    assert found.reshaped == (("encoder/w", "float32[40, 30]", "float32[30, 40]"),)
    assert not found.same and found.as_dict()["reshaped"][0]["b"] == "float32[30, 40]"


def test_not_finite_in_the_same_place_is_the_same() -> None:
    odd = WEIGHT.copy()
    odd[0, :2] = np.nan, np.inf
    assert differences(model(w=odd), model(w=odd.copy())).same
    (changed,) = differences(model(w=odd), model(w=WEIGHT)).changed
    assert changed.relative_l2 is None and changed.max_abs is None


def test_all_zeros_before() -> None:
    (changed,) = differences(model(w=WEIGHT * 0), model(w=WEIGHT)).changed
    assert changed.relative_l2 is None
    assert changed.max_abs == pytest.approx(np.abs(WEIGHT).max(), rel=1e-3)


def test_int8_is_compared_with_fp32_as_it_is_multiplied() -> None:
    scale = np.abs(WEIGHT).max(axis=0) / 127
    codes = np.clip(np.rint(WEIGHT / scale), -127, 127).astype(np.int8)
    int8 = model(w_quantized=codes, w_scale=scale, w_zero_point=np.zeros(30, np.int8))
    (changed,) = differences(model(w=WEIGHT), int8).changed
    assert changed.name == "encoder/w"
    wanted = np.linalg.norm(codes * scale - WEIGHT) / np.linalg.norm(WEIGHT)
    assert changed.relative_l2 == pytest.approx(wanted, rel=1e-3)


def test_what_is_no_graph_is_an_error() -> None:
    sound = model(w=WEIGHT)["encoder.onnx"]
    # Cut off, and with a byte changed where the tensor's description is.
    for broken in (sound[:-100], sound.replace(b"\x08\x28\x08\x1e", b"\x0f\x28\x08\x1e")):
        assert broken != sound
        with pytest.raises(InputError, match="cannot be read"):
            stored_tensors({"encoder.onnx": broken})
    assert graph_format({"model.json": b"{}"}) is None
