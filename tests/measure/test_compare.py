"""Numeric comparison of steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asrpack.errors import ToolchainError
from asrpack.measure.compare import Difference, compare, load_arrays, save_arrays

EXPECTED = {
    "encoder_out": np.zeros((2, 4, 3), np.float32),
    "ctc_log_probs": np.full((2, 4, 5), -1.0, np.float32),
    "out_lens": np.array([4, 2]),
    "decoder_log_probs": np.full((2, 3, 5), -2.0, np.float32),
}
LENGTHS = {
    "encoder_out": EXPECTED["out_lens"],
    "ctc_log_probs": EXPECTED["out_lens"],
    "decoder_log_probs": np.array([1, 3]),
}


def judge(found: dict[str, np.ndarray]) -> list[Difference]:
    return compare("convert", EXPECTED, found, lengths=LENGTHS)


def changed(name: str, index: tuple[int, ...], value: float) -> dict[str, np.ndarray]:
    found = {key: values.copy() for key, values in EXPECTED.items()}
    found[name][index] = value
    return found


def test_equal_within_the_tolerance() -> None:
    found = judge(changed("encoder_out", (0, 1, 2), 5e-5))
    assert [item.name for item in found] == list(EXPECTED)
    assert found[0].largest == pytest.approx(5e-5)
    assert found[0].index == (0, 1, 2)
    assert str(found[0]) == "encoder_out 5.0e-05"
    assert found[1].largest == 0.0


@pytest.mark.parametrize(
    ("name", "index", "value"),
    [
        ("encoder_out", (1, 1, 0), 0.5),
        ("ctc_log_probs", (0, 3, 4), -1.01),
        ("ctc_log_probs", (0, 0, 0), np.nan),
        ("decoder_log_probs", (1, 2, 1), -np.inf),
        ("out_lens", (1,), 3),
    ],
)
def test_a_mismatch_names_the_output_and_the_place(
    name: str, index: tuple[int, ...], value: float
) -> None:
    with pytest.raises(ToolchainError) as caught:
        judge(changed(name, index, value))
    error = caught.value
    assert error.code == "numeric-mismatch"
    assert error.place == f"convert: {name}{list(index)}"
    assert name in error.message
    assert error.remedy
    assert error.exit_code == 4


@pytest.mark.parametrize(
    ("name", "index"),
    [("encoder_out", (1, 2, 0)), ("ctc_log_probs", (1, 3, 4)), ("decoder_log_probs", (0, 1, 0))],
)
def test_padding_does_not_matter(name: str, index: tuple[int, ...]) -> None:
    found = judge(changed(name, index, np.nan))
    assert all(item.largest == 0.0 for item in found)


def test_the_worst_output_is_the_one_named() -> None:
    found = changed("encoder_out", (0, 0, 0), 0.1)
    found["ctc_log_probs"][0, 0, 0] = 7.0
    with pytest.raises(ToolchainError, match="ctc_log_probs differs"):
        judge(found)


def test_names_and_shapes_must_be_the_same() -> None:
    lacking = {name: values for name, values in EXPECTED.items() if name != "out_lens"}
    with pytest.raises(ToolchainError, match="not ctc_log_probs, decoder_log_probs, encoder_out"):
        judge(lacking)
    with pytest.raises(ToolchainError, match=r"shape \(3,\), not \(2,\)"):
        compare("optimize", {"a": np.zeros(2)}, {"a": np.zeros(3)})


def test_nothing_to_compare_is_no_difference() -> None:
    empty = {"a": np.zeros((1, 0, 4), np.float32)}
    assert compare("convert", empty, empty)[0].largest == 0.0


def test_arrays_are_written_to_the_same_bytes(tmp_path: Path) -> None:
    save_arrays(tmp_path / "a.npz", EXPECTED)
    save_arrays(tmp_path / "b.npz", EXPECTED)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    found = load_arrays(tmp_path / "a.npz")
    assert list(found) == list(EXPECTED)
    assert all(np.array_equal(found[name], EXPECTED[name]) for name in EXPECTED)
