"""Feeds of a model's graphs on real speech, and what the graphs gave for them.

Made once, by the network itself; every later step of a build is held against them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asrpack.bundle.model import ModelDescription
from asrpack.errors import ToolchainError
from asrpack.measure.compare import FLOAT32_TOLERANCE, Difference, compare, load_arrays, save_arrays
from asrpack.networks.interface import GraphSpec
from asrpack.runtime.decoding.hypotheses import prefix_tree
from asrpack.runtime.states import EncoderState

Arrays = Mapping[str, np.ndarray]
# (graph, feed) -> outputs by name
Run = Callable[[str, Arrays], dict[str, np.ndarray]]

# Enough for the history to be cut off once.
_CHUNKS = 4
_CHUNK_SIZE = 8
_LEFT_CHUNKS = 2


@dataclass(frozen=True)
class Case:
    """One call of a graph.

    Attributes:
        graph: the graph's name.
        label: tells the calls of one graph apart in messages; may be empty.
        feed: by input.
        expected: by output.
        lengths: (B,) for each output that is padded along axis 1.
    """

    graph: str
    label: str
    feed: Arrays
    expected: Arrays
    lengths: Arrays


def make_cases(
    description: ModelDescription, specs: Sequence[GraphSpec], probe: Arrays, run: Run
) -> list[Case]:
    """Runs every graph on a probe.

    Args:
        description: of the model.
        specs: of its graphs, ``encoder`` first.
        probe: ``feats`` (B, T, D) or samples (B, n), ``feat_lens`` (B,), ``hyps_in`` (B, L),
            ``hyps_lens`` (B,).
        run: gives a graph's outputs for a feed.
    """
    by_name = {spec.name: spec for spec in specs}
    streaming = description.streaming
    feed = {"feats": probe["feats"], "feat_lens": probe["feat_lens"]}
    if streaming is not None:
        feed |= EncoderState.start(streaming, len(feed["feats"])).feed(streaming)
    cases = [_case(by_name["encoder"], "", feed, run)]
    encoded = cases[0].expected
    if streaming is not None:
        cases += _chunk_cases(description, by_name["encoder"], probe, run)
    # The same encoder states feed the decoders of every step, so that each is judged by itself.
    given = {**probe, **encoded, "encoder_lens": encoded["out_lens"]}
    for name in ("decoder", "right_decoder"):
        if name in by_name:
            cases += _decoder_cases(by_name[name], given, run)
    return cases


def compare_cases(
    step: str, cases: Sequence[Case], run: Run, tolerance: float = FLOAT32_TOLERANCE
) -> list[Difference]:
    """Runs every case and compares.

    Returns:
        The largest difference of each output of each graph.

    Raises:
        ToolchainError: as :func:`asrpack.measure.compare.compare`.
    """
    worst: dict[str, Difference] = {}
    for case in cases:
        found = run(case.graph, case.feed)
        where = " ".join(filter(None, (step, case.label)))
        for item in compare(where, case.expected, found, tolerance=tolerance, lengths=case.lengths):
            if item.name not in worst or item.largest > worst[item.name].largest:
                worst[item.name] = item
    return list(worst.values())


def onnx_run(folder: Path) -> Run:
    """Runs the ``.onnx`` files of a folder, each loaded once."""
    sessions = {}

    def run(graph: str, feed: Arrays) -> dict[str, np.ndarray]:
        if graph not in sessions:
            sessions[graph] = _session(folder / f"{graph}.onnx")
        return sessions[graph](feed)

    return run


def save_cases(path: Path, cases: Sequence[Case]) -> None:
    """Writes an ``.npz`` file: the same bytes for the same cases."""
    arrays = {"cases": np.array(json.dumps([[case.graph, case.label] for case in cases]))}
    for index, case in enumerate(cases):
        for kind in ("feed", "expected", "lengths"):
            for name, value in getattr(case, kind).items():
                arrays[f"{index}/{kind}/{name}"] = value
    save_arrays(path, arrays)


def load_cases(path: Path) -> list[Case]:
    """Reads what :func:`save_cases` wrote."""
    arrays = load_arrays(path)
    cases = []
    for index, (graph, label) in enumerate(json.loads(str(arrays.pop("cases")))):
        parts: dict[str, dict[str, np.ndarray]] = {"feed": {}, "expected": {}, "lengths": {}}
        for name, value in arrays.items():
            number, kind, item = name.split("/")
            if int(number) == index:
                parts[kind][item] = value
        cases.append(Case(graph, label, **parts))
    return cases


def _case(spec: GraphSpec, label: str, feed: Arrays, run: Run) -> Case:
    expected = run(spec.name, feed)
    known = {**feed, **expected}
    lengths = {item.name: known[item.length] for item in spec.outputs if item.length is not None}
    return Case(spec.name, label, feed, expected, lengths)


def _decoder_cases(spec: GraphSpec, given: Arrays, run: Run) -> list[Case]:
    """Hypotheses as a foreign decoder takes them, or in all the ways that asrpack's own does.

    Which are side by side, as a tree and, where there is a cache, step by step: the later half
    after the first. Its hypotheses are of one utterance: here the longest.
    """
    inputs = [item.name for item in spec.inputs]
    if "ancestors" not in inputs:
        return [_case(spec, "", {name: given[name] for name in inputs}, run)]
    longest = np.argmax(given["out_lens"])
    hyps_in, length = given["hyps_in"], given["hyps_in"].shape[1]
    feed = {
        "encoder_out": given["encoder_out"][longest : longest + 1, : given["out_lens"][longest]],
        "hyps_in": hyps_in,
        "ancestors": np.tri(length, dtype=np.int64),
        **empty_cache(spec, len(hyps_in)),
    }
    cases = [_case(spec, "", feed, run)]
    if "cache" in feed:
        kept = cases[0].expected["next_cache"][:, :, : length // 2]
        cases.append(_case(spec, "with a cache", {**feed, "cache": kept}, run))
    texts = [
        tuple(row[1:size]) for row, size in zip(hyps_in.tolist(), given["hyps_lens"], strict=True)
    ]
    # Two ways to go on with each, as hypotheses of a beam have them.
    others = [text[: len(text) // 2] + text[:1] for text in texts]
    tree = prefix_tree([*texts, *others], hyps_in[0, 0])
    nodes = {"hyps_in": tree.units[None], "ancestors": tree.ancestors, **empty_cache(spec, 1)}
    return [*cases, _case(spec, "as a tree", {**feed, **nodes}, run)]


def empty_cache(spec: GraphSpec, count: int) -> dict[str, np.ndarray]:
    """What a decoder that keeps one is fed for hypotheses that begin; nothing for others."""
    for item in spec.inputs:
        if item.name == "cache":
            blocks, _, _, size = (dim if isinstance(dim, int) else 0 for dim in item.dims)
            return {"cache": np.zeros((blocks, count, 0, size), np.float32)}
    return {}


def _chunk_cases(
    description: ModelDescription, spec: GraphSpec, probe: Arrays, run: Run
) -> list[Case]:
    """The first chunks of the longest utterance, each with the states of the one before."""
    assert description.streaming is not None
    streaming = replace(description.streaming, chunk_size=_CHUNK_SIZE, left_chunks=_LEFT_CHUNKS)
    feats = probe["feats"][np.argmax(probe["feat_lens"])]
    stride = _CHUNK_SIZE * description.subsampling
    window = stride - description.subsampling + description.right_context + 1
    state = EncoderState.start(streaming)
    cases: list[Case] = []
    for start in range(0, len(feats) - description.right_context, stride)[:_CHUNKS]:
        chunk = feats[None, start : start + window]
        feed = {"feats": chunk, "feat_lens": np.array([chunk.shape[1]]), **state.feed(streaming)}
        cases.append(_case(spec, f"chunk {len(cases) + 1}", feed, run))
        found = cases[-1].expected
        state = state.next(streaming, found, int(found["out_lens"][0]))
    return cases


def _session(path: Path) -> Callable[[Arrays], dict[str, np.ndarray]]:
    import onnxruntime

    def failed(error: Exception) -> ToolchainError:
        return ToolchainError(
            f"ONNX Runtime cannot run {path.name}: {error}",
            code="onnxruntime-failed",
            place=path.name,
            remedy="check that ONNX Runtime is a supported version with `asrpack doctor`",
        )

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: graphs just converted have harmless leftovers
    # ONNX Runtime raises many classes, all private.
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise failed(error) from error
    outputs = [item.name for item in session.get_outputs()]

    def run(feed: Arrays) -> dict[str, np.ndarray]:
        try:
            values = session.run(outputs, dict(feed))
        except Exception as error:
            raise failed(error) from error
        return dict(zip(outputs, map(np.asarray, values), strict=True))

    return run
