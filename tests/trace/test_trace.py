"""``asrpack trace`` and ``commit`` on files: whose copy it was, after what was done to it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from asrpack.cli import main
from asrpack.protect.detection import ACCUSE_Z
from asrpack.protect.watermark import channel_steps
from asrpack.trace.customers import read_customers
from tests.trace.conftest import Traced
from tests.trace.models import CUSTOMERS, GUILTY, marked_matrices, original_matrices, save_graph

GENERATOR = np.random.default_rng(3)


def rearranged(weight: np.ndarray) -> np.ndarray:
    """Rows and columns in another order, with other signs and sizes."""
    rows, columns = (GENERATOR.permutation(size) for size in weight.shape)
    factors = [
        GENERATOR.uniform(0.2, 5, (size, 1)) * GENERATOR.choice([-1, 1], (size, 1))
        for size in weight.shape
    ]
    return (weight * factors[0] * factors[1].T)[np.ix_(rows, columns)].astype(np.float32)


def permuted(weight: np.ndarray) -> np.ndarray:
    rows, columns = (GENERATOR.permutation(size) for size in weight.shape)
    return weight[np.ix_(rows, columns)]


def int8(weight: np.ndarray) -> np.ndarray:
    steps = channel_steps(weight)
    return np.rint(weight / steps) * steps


def pruned(weight: np.ndarray) -> np.ndarray:
    return np.where(np.abs(weight) < np.median(np.abs(weight)), 0, weight)


ATTACKS = {
    "none": lambda weight: weight,
    "rearranged": rearranged,
    "transposed": np.transpose,
    "int8": int8,
    "half of it pruned": pruned,
    "permuted, pruned": lambda weight: pruned(permuted(weight)),
    "pruned, rearranged, int8": lambda weight: int8(rearranged(pruned(weight))),
}


def by_name(results: dict) -> set[str]:
    return {name for name, item in results.items() if item["z"] >= ACCUSE_Z}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_guilty_one_is_named_and_nobody_else(
    attack: str, tmp_path: Path, trace: Traced
) -> None:
    copy = {f"t{i}": ATTACKS[attack](v) for i, v in enumerate(marked_matrices().values())}
    code, results = trace(save_graph(tmp_path / "suspect.onnx", copy))
    assert code == 0 and by_name(results) == {GUILTY}
    assert results[GUILTY]["p"] < 1e-9
    assert all(item["p"] > 1e-3 for name, item in results.items() if name != GUILTY)


def test_layers_may_be_missing_and_others_added(tmp_path: Path, trace: Traced) -> None:
    copy = dict(list(marked_matrices().items())[1:])
    copy["other"] = GENERATOR.standard_normal((64, 160)).astype(np.float32)
    code, results = trace(save_graph(tmp_path / "suspect.onnx", copy))
    assert code == 0 and by_name(results) == {GUILTY}


def test_each_of_three_who_averaged_is_named(tmp_path: Path, trace: Traced) -> None:
    coalition = CUSTOMERS[3:6]
    copies = [marked_matrices(customer, 0.1) for customer in coalition]
    mean = {name: sum(copy[name] for copy in copies) / 3 for name in copies[0]}
    code, results = trace(save_graph(tmp_path / "suspect.onnx", mean))
    assert code == 0 and by_name(results) == set(coalition)


def test_what_is_said_without_json(
    tmp_path: Path, vendor: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    suspect = save_graph(tmp_path / "suspect.onnx", marked_matrices())
    assert main(["trace", str(suspect), *vendor]) == 0
    told = capsys.readouterr().out
    assert "4 of 4 matrices compared" in told and "30 customers tested" in told
    assert told.splitlines()[2].split()[-1] == GUILTY
    assert "named from z = 7: 1" in told


@pytest.mark.parametrize("suffix", [".html", ".md"])
def test_the_report_says_who_how_and_against_what(
    suffix: str, tmp_path: Path, vendor: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    suspect = save_graph(tmp_path / "suspect.onnx", {"x": marked_matrices()["third.w"].T})
    report = tmp_path / f"report{suffix}"
    assert main(["trace", str(suspect), *vendor, f"--report={report}"]) == 0
    said = capsys.readouterr().out
    text = report.read_text().replace("\\", "")
    z = next(line.split()[0] for line in said.splitlines() if line.endswith(GUILTY))
    for fact in (GUILTY, z, "transposed", "encoder/third.w", "encoder/first.w", "200"):
        assert fact in text
    assert main(["commit", vendor[0].split("=")[1], vendor[1], "--json"]) == 0
    committed = json.loads(capsys.readouterr().out)
    assert committed["commitment"] in text and committed["original"]["encoder.onnx"] in text


def test_a_report_ends_in_html_or_md(
    tmp_path: Path, vendor: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    suspect = save_graph(tmp_path / "suspect.onnx", marked_matrices())
    assert main(["trace", str(suspect), *vendor, f"--report={tmp_path / 'r.pdf'}"]) == 2
    assert "r.html" in capsys.readouterr().err


def test_what_is_committed_binds_key_original_and_customers(
    tmp_path: Path, vendor: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, key, customers = (item.split("=")[1] for item in vendor)

    def committed(original: str = folder, *more: str) -> dict:
        assert main(["commit", original, f"--key={key}", "--json", *more]) == 0
        return json.loads(capsys.readouterr().out)

    plain = committed()
    assert plain == committed()
    listed = committed(folder, f"--customers={customers}")
    assert listed["customers"]["count"] == len(CUSTOMERS)
    assert not any(name in json.dumps(listed) for name in CUSTOMERS)
    fewer = tmp_path / "fewer.txt"
    fewer.write_text("\n".join(CUSTOMERS[1:]))
    assert committed(folder, f"--customers={fewer}")["customers"] != listed["customers"]
    changed = {name: value * 2 for name, value in original_matrices().items()}
    (tmp_path / "other").mkdir()
    save_graph(tmp_path / "other/encoder.onnx", changed)
    assert committed(str(tmp_path / "other"))["commitment"] != plain["commitment"]


def test_a_commitment_is_shown_and_written(
    tmp_path: Path, vendor: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, key, customers = (item.split("=")[1] for item in vendor)
    path = tmp_path / "commitment.json"
    command = ["commit", folder, f"--key={key}", f"--customers={customers}", f"--output={path}"]
    assert main(command) == 0
    said, written = capsys.readouterr().out, path.read_text()
    committed = json.loads(written)
    for fact in (committed["commitment"], committed["customers"]["hmac"], str(path)):
        assert fact in said
    assert main([*command, "--json"]) == 0
    assert capsys.readouterr().out == written == path.read_text()
    assert main(command[:3]) == 0
    assert "not bound" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("acme\nother\nacme\n", ["acme", "other"]),
        ("id,customer\n1,acme\n2,\n", ["acme"]),
        ('"customer","note"\n"acme","a\nb"\n', ["acme"]),
        # A quoted field that goes over lines names no column.
        ('"customer\nx"\nacme\n', ['"customer', 'x"', "acme"]),
    ],
)
def test_a_list_of_customers(tmp_path: Path, text: str, names: list[str]) -> None:
    (tmp_path / "list").write_text(text)
    assert read_customers(tmp_path / "list") == names
