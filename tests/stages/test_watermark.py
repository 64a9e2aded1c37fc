from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from pydantic import ValidationError

from asrpack.bundle.keys import WATERMARK, armour
from asrpack.errors import InputError, KeyFileError
from asrpack.graph.files import load_graph
from asrpack.graph.weights import weight_matrices
from asrpack.measure.cases import onnx_run
from asrpack.pipeline.digest import digest_path
from asrpack.protect.detection import ACCUSE_Z, detect
from asrpack.stages import watermark as module
from asrpack.stages.optimize import Optimize
from asrpack.stages.quantize import Quantize
from asrpack.stages.stage import Context
from asrpack.stages.watermark import Watermark, read_weights
from tests.stages.onnx_model import write_model, write_ranges

KEY = bytes(range(32))
NAMES = {"encoder/hidden.w", "encoder/pointwise.w", "encoder/ctc.w", "decoder/mix.w",
         "decoder/output.w"}  # fmt: skip


WAYS = {
    "fp32": {"precision": "fp32"},
    "fp16": {"precision": "fp16", "half": "arithmetic"},
    "fp16 stored": {"precision": "fp16"},
    "int8": {"precision": "int8"},
    "int8 blocks": {"precision": "int8", "method": "weight_only"},
    "int8 small blocks": {"precision": "int8", "method": "weight_only", "block_size": 32},
    "int4": {"precision": "int4"},
    "int4 small blocks": {"precision": "int4", "block_size": 32},
    "static": {"method": "static"},
    "static of 7 bits": {"method": "static", "cpu": "avx2"},
}
INTEGERS = [way for way in WAYS if way.startswith(("int", "static"))]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "optimized").mkdir()
    inputs = write_model(folder)
    Optimize().run(Optimize.Params(), inputs, folder / "optimized", Context())
    return folder / "optimized" / "onnx"


@pytest.fixture(scope="module")
def quantized(original: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    result = {}
    for way, params in WAYS.items():
        out = tmp_path_factory.mktemp(way)
        given = {
            "onnx": original,
            "cases": original.parents[1] / "cases.npz",
            "calibration": write_ranges(original, out / "ranges.json"),
        }
        Quantize().run(Quantize.Params(**params), given, out, Context())
        result[way] = out / "onnx"
    return result


def mark(original, folder, out, customer="acme", key=KEY, **params):
    out.mkdir()
    secret = armour(WATERMARK, key)
    Watermark().run(
        Watermark.Params(customer=customer, **params),
        {"original": original, "onnx": folder},
        out,
        Context(secrets={"key": secret}),
    )
    return out


def z_of(original, folder, customer="acme", key=KEY):
    return detect(read_weights(original), read_weights(folder), key, [customer])[0].z


@pytest.mark.parametrize("precision", WAYS)
def test_the_mark_is_found_in_every_precision(original, quantized, tmp_path, precision):
    out = mark(original, quantized[precision], tmp_path / "out")
    assert z_of(original, out / "onnx") > ACCUSE_Z
    assert abs(z_of(original, out / "onnx", customer="bolt")) < 5
    assert abs(z_of(original, out / "onnx", key=bytes(32))) < 5
    assert abs(z_of(original, quantized[precision])) < 5


@pytest.mark.parametrize("precision", INTEGERS)
def test_integers_alone_carry_the_mark(original, quantized, tmp_path, precision):
    """Without the output layers, which stay floats and so carry it undisturbed."""
    out = mark(original, quantized[precision], tmp_path / "out")
    int8 = {
        name: values
        for name, values in read_weights(out / "onnx").items()
        if name.split("/")[1] not in ("ctc.w", "output.w")
    }
    assert len(int8) == 3
    assert detect(read_weights(original), int8, KEY, ["acme"])[0].z > ACCUSE_Z


@pytest.mark.parametrize(
    ("precision", "integers", "floats"),
    [("int8", "_quantized", "_half"), ("int8 blocks", "_Q8", "_half"), ("int4", "_Q4", "_half")],
)
def test_only_numbers_of_matrices_change(
    original, quantized, tmp_path, precision, integers, floats
):
    out = mark(original, quantized[precision], tmp_path / "out")
    for path in quantized[precision].iterdir():
        before, after = onnx.load(path), onnx.load(out / "onnx" / path.name)
        assert list(before.graph.node) == list(after.graph.node)
        changed = {
            item.name
            for item, other in zip(before.graph.initializer, after.graph.initializer, strict=True)
            if item != other
        }
        whole = {"encoder": ("hidden.w", "pointwise.w"), "decoder": ("mix.w",)}[path.stem]
        last = {"encoder": "ctc.w", "decoder": "output.w"}[path.stem]
        assert changed == {f"{name}{integers}" for name in whole} | {f"{last}{floats}"}


@pytest.mark.parametrize("precision", INTEGERS)
def test_few_codes_move_and_by_one_step(original, quantized, tmp_path, precision):
    """In steps of the grid that ships, whichever it is: no code moves further."""
    out = mark(original, quantized[precision], tmp_path / "out")
    for path in quantized[precision].iterdir():
        before, after = (
            weight_matrices(load_graph(folder / path.name), "a")
            for folder in (path.parent, out / "onnx")
        )
        for matrix, marked in zip(before, after, strict=True):
            if matrix.steps is not None:
                moved = np.abs(matrix.codes().astype(int) - marked.codes())
                assert moved.max() == 1 and 0.01 < moved.mean() < 0.1


def test_the_same_customer_gets_the_same_bytes_and_another_one_others(
    original, quantized, tmp_path
):
    files = {}
    for name, customer, key in (
        ("a", "acme", KEY),
        ("b", "acme", KEY),
        ("c", "bolt", KEY),
        ("d", "acme", bytes(32)),
    ):
        out = mark(original, quantized["int8"], tmp_path / name, customer, key)
        files[name] = (out / "onnx" / "encoder.onnx").read_bytes()
    assert files["a"] == files["b"]
    assert len({files["a"], files["c"], files["d"]}) == 3


def test_mark_json_says_what_was_done_and_nothing_secret(original, quantized, tmp_path):
    out = mark(original, quantized["int8"], tmp_path / "out", strength=0.1)
    text = (out / "mark.json").read_text()
    report = json.loads(text)
    assert report["scheme"] == "tardos-dither-1"
    assert (report["customer"], report["strength"]) == ("acme", 0.1)
    assert set(report["tensors"]) == NAMES
    assert report["weights"] == 3 * 64 * 64 + 2 * 64 * 70
    assert 0 < report["relative_perturbation"] < 0.02
    assert len(report["commitment"]) == 64
    assert KEY.hex() not in text and armour(WATERMARK, KEY).decode().split("\n")[1] not in text


def test_the_commitment_is_to_key_and_original_and_not_to_the_customer(
    original, quantized, tmp_path
):
    def commitment(name, customer="acme", key=KEY):
        out = mark(original, quantized["int8"], tmp_path / name, customer, key)
        return json.loads((out / "mark.json").read_text())["commitment"]

    assert commitment("a") == commitment("b", customer="bolt")
    assert commitment("a2") != commitment("c", key=bytes(32))


def test_a_stronger_mark_changes_more_and_scores_more(original, quantized, tmp_path):
    weak = mark(original, quantized["int8"], tmp_path / "weak", strength=0.05)
    strong = mark(original, quantized["int8"], tmp_path / "strong", strength=0.2)
    assert z_of(original, strong / "onnx") > z_of(original, weak / "onnx")


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_weights_of_another_model_are_refused(quantized, tmp_path, precision):
    other = tmp_path / "other"
    inputs = write_model(other, seed=1)
    (other / "optimized").mkdir()
    Optimize().run(Optimize.Params(), inputs, other / "optimized", Context())
    with pytest.raises(InputError) as caught:
        mark(other / "optimized" / "onnx", quantized[precision], tmp_path / "out")
    assert caught.value.code == "watermark-unrelated"
    assert "/" in caught.value.place


def test_a_model_without_large_matrices_is_refused(original, quantized, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MIN_WEIGHTS", 1 << 30)
    with pytest.raises(InputError) as caught:
        mark(original, quantized["int8"], tmp_path / "out")
    assert caught.value.code == "watermark-no-weights"


def test_a_key_of_another_kind_is_refused(original, quantized, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(KeyFileError):
        Watermark().run(
            Watermark.Params(customer="acme"),
            {"original": original, "onnx": quantized["int8"]},
            tmp_path / "out",
            Context(secrets={"key": b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"}),
        )


@pytest.mark.parametrize("params", [{"customer": ""}, {"customer": "a", "strength": 0.0}])
def test_parameters_are_checked(params):
    with pytest.raises(ValidationError):
        Watermark.Params(**params)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_the_marked_model_still_runs(original, quantized, tmp_path, precision):
    out = mark(original, quantized[precision], tmp_path / "out")
    feed = {
        "feats": np.random.default_rng(0).standard_normal((1, 5, 64), np.float32),
        "feat_lens": np.array([5]),
    }
    names = ("encoder_out", "ctc_log_probs")
    before = onnx_run(quantized[precision])("encoder", feed)
    after = onnx_run(out / "onnx")("encoder", feed)
    for name in names:
        assert 0 < np.abs(before[name] - after[name]).max() < 0.5


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_a_computed_matrix_is_left_alone(original, tmp_path, precision):
    """A mel filterbank is zeros but for a band in each column; a mark in them would ruin it."""
    source = tmp_path / "source"
    source.mkdir()
    for path in original.iterdir():
        graph = onnx.load(path)
        for item in graph.graph.initializer:
            if item.name == "hidden.w":
                sparse = np.array(onnx.numpy_helper.to_array(item))
                sparse[np.arange(sparse.shape[0]) % 16 != 0] = 0
                item.CopyFrom(onnx.numpy_helper.from_array(sparse, item.name))
        onnx.save(graph, source / path.name)
    (tmp_path / "quantized").mkdir()
    params = Quantize.Params(precision=precision)
    Quantize().run(params, {"onnx": source}, tmp_path / "quantized", Context())
    folder = tmp_path / "quantized" / "onnx"
    out = mark(source, folder, tmp_path / "out")
    marked = json.loads((out / "mark.json").read_bytes())["tensors"]
    assert set(marked) == NAMES - {"encoder/hidden.w"}
    assert z_of(source, out / "onnx") > ACCUSE_Z


@pytest.mark.parametrize("precision", WAYS)
def test_a_model_that_is_kept_gives_each_customer_the_same_file(
    original, quantized, tmp_path, precision
):
    """What is computed once for all customers, and the file that is patched, leave no trace."""
    stage = Watermark(keeps=True)
    for number, customer in enumerate(["acme", "bolt", "acme"]):
        out = tmp_path / str(number)
        out.mkdir()
        stage.run(
            Watermark.Params(customer=customer),
            {"original": original, "onnx": quantized[precision]},
            out,
            Context(secrets={"key": armour(WATERMARK, KEY)}),
        )
        fresh = mark(original, quantized[precision], tmp_path / f"fresh {number}", customer)
        assert digest_path(out) == digest_path(fresh)


def test_a_model_that_is_kept_is_not_taken_for_another(original, quantized, tmp_path):
    stage = Watermark(keeps=True)
    for precision, key in (("fp32", KEY), ("int8", KEY), ("int8", bytes(32))):
        out = tmp_path / f"{precision} {key[1]}"
        out.mkdir()
        inputs = {"original": original, "onnx": quantized[precision]}
        secrets = {"key": armour(WATERMARK, key)}
        stage.run(Watermark.Params(customer="acme"), inputs, out, Context(secrets=secrets))
        fresh = mark(original, quantized[precision], tmp_path / f"f {precision} {key[1]}", key=key)
        assert digest_path(out) == digest_path(fresh)
