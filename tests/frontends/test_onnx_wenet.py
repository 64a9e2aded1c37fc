"""WeNet's two ONNX exports, built here in exactly their layouts, against NumPy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from asrpack.errors import InputError
from asrpack.frontends.onnx_models import read
from asrpack.runtime.recognizer import Recognizer
from tests.frontends.onnx_graphs import FLOAT, INT32, INT64, log_softmax, node, weights
from tests.frontends.onnx_graphs import model as make
from tests.frontends.test_onnx_ctc import described, imported

UNITS, WIDTH = 6, 8
TOKENS = ("<blank>", "<unk>", "你", "好", "吗", "<sos/eos>")
METADATA = {
    "batch": "1",
    "chunk_size": "-1",
    "left_chunks": "-1",
    "output_size": str(WIDTH),
    "num_blocks": "2",
    "cnn_module_kernel": "5",
    "head": "2",
    "vocab_size": str(UNITS),
}


def gpu() -> onnx.ModelProto:
    return make(
        [
            node("Slice", ["speech", "zero", "end", "one", "four"], ["fourth"]),
            node("MatMul", ["fourth", "w"], ["encoder_out"]),
            node("MatMul", ["encoder_out", "ctc"], ["logits"]),
            node("LogSoftmax", ["logits"], ["ctc_log_probs"], axis=-1),
            node("TopK", ["ctc_log_probs", "two"], ["beam_log_probs", "beam_log_probs_idx"]),
            node("Add", ["speech_lengths", "three32"], ["up"]),
            node("Div", ["up", "four32"], ["encoder_out_lens"]),
        ],
        {"speech": (FLOAT, ("B", "T", 80)), "speech_lengths": (INT32, ("B",))},
        {
            "encoder_out": (FLOAT, ("B", "T_OUT", WIDTH)),
            "encoder_out_lens": (INT32, ("B",)),
            "ctc_log_probs": (FLOAT, ("B", "T_OUT", UNITS)),
            "beam_log_probs": (FLOAT, ("B", "T_OUT", 2)),
            "beam_log_probs_idx": (INT64, ("B", "T_OUT", 2)),
        },
        {
            "zero": np.array([0]),
            "one": np.array([1]),
            "four": np.array([4]),
            "end": np.array([1 << 40]),
            "two": np.array([2]),
            "w": weights(80, WIDTH),
            "ctc": weights(WIDTH, UNITS, seed=1),
            "three32": np.array([3], np.int32),
            "four32": np.array([4], np.int32),
        },
        opset=13,
    )


def hidden(feats: np.ndarray) -> np.ndarray:
    return np.asarray(feats[:, ::4] @ weights(80, WIDTH))


def write(folder: Path, **graphs: onnx.ModelProto) -> Path:
    folder.mkdir()
    for name, graph in graphs.items():
        onnx.save(graph, folder / f"{name}.onnx")
    text = "".join(f"{unit} {index}\n" for index, unit in enumerate(TOKENS))
    (folder / "units.txt").write_text(text, encoding="utf-8")
    return folder


def test_gpu_export(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", encoder=gpu())
    found, run = imported(folder, tmp_path, front_end=None)
    about = found.description
    assert (about.family, about.graphs, about.sample_rate) == ("wenet_onnx", ("encoder",), 16000)
    assert about.eos_id == UNITS - 1 and "export_onnx_gpu" in found.reason
    feats = np.random.default_rng(0).standard_normal((2, 30, 80)).astype(np.float32)
    outputs = run("encoder", {"feats": feats, "feat_lens": np.array([30, 9])})
    wanted = log_softmax(hidden(feats) @ weights(WIDTH, UNITS, seed=1))
    np.testing.assert_allclose(outputs["ctc_log_probs"], wanted, atol=1e-5)
    assert outputs["out_lens"].tolist() == [8, 3] and outputs["out_lens"].dtype == np.int64
    names = [item.op_type for item in onnx.load(tmp_path / "encoder.onnx").graph.node]
    assert "TopK" not in names


def cpu(**changes: str) -> dict[str, onnx.ModelProto]:
    """Chunk and caches; the encoder adds what is in its caches, so that they must be zeros."""
    cache: dict[str, Any] = {
        "att_cache": (FLOAT, (2, 2, "T_CACHE", WIDTH)),
        "cnn_cache": (FLOAT, (2, 1, WIDTH, 4)),
    }
    encoder = make(
        [
            node("Slice", ["chunk", "zero", "end", "one", "four"], ["fourth"]),
            node("MatMul", ["fourth", "w"], ["h0"]),
            node("ReduceSum", ["cnn_cache"], ["s0"], keepdims=0),
            node("ReduceSum", ["att_cache"], ["s1"], keepdims=0),
            node("Add", ["offset", "required_cache_size"], ["o1"]),
            node("Add", ["o1", "unit"], ["o2"]),  # 0 + -1 + 1
            node("Cast", ["o2"], ["s2"], to=FLOAT),
            node("Add", ["s0", "s1"], ["s3"]),
            node("Add", ["s3", "s2"], ["s4"]),
            node("Add", ["h0", "s4"], ["output"]),
            node("Identity", ["att_cache"], ["r_att_cache"]),
            node("Identity", ["cnn_cache"], ["r_cnn_cache"]),
        ],
        {
            "chunk": (FLOAT, (1, "T", 80)),
            "offset": (INT64, ()),
            "required_cache_size": (INT64, ()),
            **cache,
        },
        {
            "output": (FLOAT, (1, "T_OUT", WIDTH)),
            **{f"r_{name}": what for name, what in cache.items()},
        },
        {
            "zero": np.array([0]),
            "one": np.array([1]),
            "four": np.array([4]),
            "end": np.array([1 << 40]),
            "unit": np.array(1),
            "w": weights(80, WIDTH),
        },
        METADATA | changes,
        opset=13,
    )
    head = make(
        [
            node("MatMul", ["hidden", "w"], ["logits"]),
            node("LogSoftmax", ["logits"], ["probs"], axis=-1),
        ],
        {"hidden": (FLOAT, (1, "T", WIDTH))},
        {"probs": (FLOAT, (1, "T", UNITS))},
        {"w": weights(WIDTH, UNITS, seed=1)},
        METADATA,
        opset=13,
    )
    decoder = make(
        [
            node("Gather", ["embed", "hyps"], ["e"]),
            node("ReduceMean", ["encoder_out"], ["m"], axes=[1]),
            node("Add", ["e", "m"], ["s"]),
            node("MatMul", ["s", "out"], ["logits"]),
            node("LogSoftmax", ["logits"], ["score"], axis=-1),
            node("Cast", ["reverse_weight"], ["rw"], to=FLOAT),
            node("Mul", ["score", "rw"], ["r_score"]),
            node("Identity", ["hyps_lens"], ["unused"]),
        ],
        {
            "hyps": (INT64, ("BEAM", "L")),
            "hyps_lens": (INT64, ("BEAM",)),
            "encoder_out": (FLOAT, (1, "T", WIDTH)),
            "reverse_weight": (onnx.TensorProto.DOUBLE, ()),
        },
        {"score": (FLOAT, ("BEAM", "L", UNITS)), "r_score": (FLOAT, ("BEAM", "L", UNITS))},
        {"embed": weights(UNITS, WIDTH, seed=2), "out": weights(WIDTH, UNITS, seed=3)},
        METADATA,
        opset=13,
    )
    return {"encoder": encoder, "ctc": head, "decoder": decoder}


def test_cpu_export_with_its_decoder(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", **cpu())
    found, run = imported(folder, tmp_path, front_end=None)
    about = found.description
    assert about.graphs == ("encoder", "decoder") and about.subsampling == 4
    assert about.decode.method == "attention_rescoring"
    assert (about.sos_id, about.eos_id) == (UNITS - 1, UNITS - 1)
    feats = np.random.default_rng(0).standard_normal((1, 30, 80)).astype(np.float32)
    outputs = run("encoder", {"feats": feats, "feat_lens": np.array([30])})
    wanted = log_softmax(hidden(feats) @ weights(WIDTH, UNITS, seed=1))
    np.testing.assert_allclose(outputs["encoder_out"], hidden(feats), atol=1e-5)
    np.testing.assert_allclose(outputs["ctc_log_probs"], wanted, atol=1e-5)
    assert outputs["out_lens"].tolist() == [8]

    hyps = np.array([[5, 2, 3], [5, 4, 5], [5, 2, 5]])
    scored = run(
        "decoder",
        {
            "encoder_out": np.repeat(outputs["encoder_out"], 3, 0),
            "encoder_lens": np.array([8, 8, 8]),
            "hyps_in": hyps,
            "hyps_lens": np.array([3, 2, 2]),
        },
    )["decoder_log_probs"]
    mean = hidden(feats).mean(1, keepdims=True)
    wanted = log_softmax(
        (weights(UNITS, WIDTH, seed=2)[hyps] + mean) @ weights(WIDTH, UNITS, seed=3)
    )
    np.testing.assert_allclose(scored, wanted, atol=1e-5)

    graphs = {path.name: path.read_bytes() for path in tmp_path.glob("*.onnx")}
    samples = np.random.default_rng(1).standard_normal(16000).astype(np.float32) * 3000
    recognizer = Recognizer(about, graphs, threads=1)
    for method in about.methods:
        assert isinstance(recognizer.transcribe(samples, method).text, str)


def test_cpu_export_without_a_decoder(tmp_path: Path) -> None:
    graphs = cpu()
    del graphs["decoder"]
    folder = write(tmp_path / "model", **graphs)
    about = read(described(folder, front_end=None)).description
    assert about.graphs == ("encoder",) and about.decode.method == "ctc_greedy_search"


def test_what_a_cpu_export_lacks_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "chunks", **cpu(left_chunks="4"))
    with pytest.raises(InputError, match="4 chunks of history"):
        read(described(folder, front_end=None))
    folder = write(tmp_path / "model", **cpu(head="x"))
    with pytest.raises(InputError, match="'head' is missing or malformed: 'x'"):
        read(described(folder, front_end=None))
    shutil.copy(tmp_path / "chunks" / "encoder.onnx", folder)
    onnx.save(cpu()["encoder"], folder / "encoder.onnx")
    (folder / "ctc.onnx").unlink()
    with pytest.raises(InputError, match="no such file"):
        read(described(folder, front_end=None))
