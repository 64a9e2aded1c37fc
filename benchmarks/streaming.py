"""Milliseconds a chunk takes in a stream, with histories that grow and of one shape.

A streaming encoder is fed chunk after chunk, as the runtime does; the states of one chunk go into
the next. Histories are either as long as there is something to see (``growing``, what the runtime
does), or always of the length that ``left_chunks`` allows, with what is not there yet masked:
``padded`` feeds them to the same graph, ``static`` to a copy whose axes are all fixed. One chunk
of each in turn, so that a machine that grows slower meanwhile slows all.

    python -m benchmarks.streaming                  # quickstart and 12 blocks of 256; 5 minutes
    python -m benchmarks.streaming --seconds 60 --chunk-size 8 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from asrpack.bundle.model import ModelDescription, Streaming
from asrpack.runtime.engines.onnxruntime import open_session
from asrpack.runtime.host import describe_host
from asrpack.runtime.states import EncoderState
from asrpack.stages.import_ import Import
from asrpack.stages.quantize import Quantize
from benchmarks.make_conformer import configuration, write_model
from benchmarks.stage_chain import run_stage, run_until_optimized

QUICKSTART = Path(__file__).parents[1] / "recipes/quickstart"
MANIFEST = QUICKSTART / "data/calibration.jsonl"
FRAMES_PER_SECOND = 100


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chunk-size", type=int, default=16)
    parser.add_argument("--left-chunks", type=int, nargs="+", default=[-1, 16, 4])
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the stream")
    parser.add_argument("--precision", choices=["fp32", "int8"], default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=12, help="of the larger model")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="asrpack-streaming-") as workspace:
        large = Path(workspace) / "model"
        write_model(large, streaming_configuration(options.blocks))
        models = {
            "quickstart": QUICKSTART / "conformer_digits_cards",
            f"{options.blocks} x 256": large,
        }
        for index, (name, path) in enumerate(models.items()):
            description, encoder = build(path, Path(workspace) / str(index), options.precision)
            for left in options.left_chunks:
                rows.append({"model": name, "left_chunks": left,
                             **measure(description, encoder, left, options)})  # fmt: skip
    report = {"host": describe_host(), "options": vars(options), "rows": rows}
    print(json.dumps(report, indent=1) if options.json else table(report))


def streaming_configuration(blocks: int) -> dict[str, Any]:
    """``model.yaml`` of a conformer that can stream."""
    values = configuration(blocks=blocks)
    values["encoder_conf"] |= {
        "causal": True,
        "use_dynamic_chunk": True,
        "cnn_module_norm": "layer_norm",
    }
    return values


def build(model: Path, workspace: Path, precision: str) -> tuple[ModelDescription, bytes]:
    """The description and the encoder's graph of a model that is to stream."""
    params = Import.Params.model_validate({"streaming": True})
    built = run_until_optimized(model, MANIFEST, workspace, params)
    folder = built["optimized"]
    if precision != "fp32":
        params = Quantize.Params.model_validate({"precision": precision})
        folder = run_stage(Quantize(), {"onnx": folder}, workspace, params) / "onnx"
    return ModelDescription.read(built["description"]), (folder / "encoder.onnx").read_bytes()


def measure(
    description: ModelDescription, encoder: bytes, left_chunks: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Milliseconds of a chunk by each way, medians over the stream, and the real-time factor."""
    assert description.streaming is not None
    streaming = replace(
        description.streaming, chunk_size=options.chunk_size, left_chunks=left_chunks
    )
    stride = options.chunk_size * description.subsampling
    window = stride - description.subsampling + description.right_context + 1
    count = int(options.seconds * FRAMES_PER_SECOND) // stride
    spec = description.front_end
    feats = np.random.default_rng(0).standard_normal((count, 1, window, spec.dim), np.float32)
    growing = open_session(encoder, "encoder.onnx", options.threads)
    sessions = {"growing": growing}
    # All of the history has no one length; the longest that this stream sees stands for it.
    length = options.chunk_size * (left_chunks if left_chunks >= 0 else count)
    if length:
        sessions |= {
            "padded": growing,
            "static": static_session(encoder, window, length, options),
        }
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for again in range(2):  # the first warms up
        state = EncoderState.start(streaming)
        for chunk in feats:
            plain = {
                "feats": chunk,
                "feat_lens": np.array([window], np.int64),
                **state.feed(streaming),
            }
            feeds = {name: plain if name == "growing" else padded(plain, streaming, length)
                     for name in sessions}  # fmt: skip
            for name, session in sessions.items():
                start = time.perf_counter()
                values = session.run(None, feeds[name])
                if name == "growing":
                    names = [output.name for output in session.get_outputs()]
                    after = state.next(
                        streaming, dict(zip(names, values, strict=True)), options.chunk_size
                    )
                if again:
                    seconds[name].append(time.perf_counter() - start)
            state = after
    chunk_seconds = stride / FRAMES_PER_SECOND
    found: dict[str, Any] = {
        name: {
            "ms": 1000 * statistics.median(times),
            "last_ms": 1000 * statistics.median(times[-5:]),
            "rtf": sum(times) / (chunk_seconds * len(times)),
        }
        for name, times in seconds.items()
    }
    return found


def padded(feed: Mapping[str, Any], streaming: Streaming, length: int) -> dict[str, Any]:
    """The same feed with growing states of one length, right-aligned."""
    found = dict(feed)
    for state in streaming.states:
        if state.grows:
            array = feed[state.name]
            missing = length - array.shape[3]
            widths = [(0, missing if axis == 3 else 0) for axis in range(array.ndim)]
            widths[3] = (missing, 0)
            found[state.name] = np.pad(array, widths)
    return found


def static_session(encoder: bytes, window: int, length: int, options: argparse.Namespace) -> Any:
    """The graph with every axis fixed."""
    model = onnx.load_from_string(encoder)
    sizes = {"B": 1, "T": window, "C": length, "T_out": options.chunk_size}

    for value in (*model.graph.input, *model.graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_value = sizes[axis.dim_param]
    _make_scalars(model.graph)
    return open_session(model.SerializeToString(), "encoder.onnx", options.threads)


def _make_scalars(graph: onnx.GraphProto) -> None:
    """Ranges get scalars: with lists of one, ONNX Runtime only loads them while shapes are free."""
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if node.op_type != "Range":
            continue
        for place, name in enumerate(node.input):
            scalar = f"{node.name or node.output[0]}/scalar/{place}"
            graph.node.insert(index, onnx.helper.make_node("Squeeze", [name], [scalar]))
            node = next(item for item in graph.node if node.output[0] in item.output)
            node.input[place] = scalar


def table(report: Mapping[str, Any]) -> str:
    """The report for people."""
    lines = [f"{name}: {value}" for name, value in report["host"].items()]
    ways = ("growing", "padded", "static")
    head = "".join(f"{f'{way} ms (last)':>22}" for way in ways)
    lines += ["", f"{'model':14}{'left':>6}{head}{'RTF':>9}"]
    for row in report["rows"]:
        cells = "".join(
            f"{row[way]['ms']:13.1f} ({row[way]['last_ms']:6.1f})" if way in row else f"{'-':>22}"
            for way in ways
        )
        lines.append(f"{row['model']:14}{row['left_chunks']:6}{cells}{row['growing']['rtf']:9.3f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
