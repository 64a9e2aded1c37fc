"""What each graph pass does to the nodes and to the speed of a conformer of real size.

Takes one standard pass away at a time, or adds one that was left out, and times the graph with
the pass against the graph without it: one thread, CPU time, one run of each in turn, so that a
machine that grows slower meanwhile slows both. A speed is the ratio of the least times, to which
other processes can only add.

    python -m benchmarks.passes --write docs/passes.md     # a quarter of an hour, 3 GB of memory
    python -m benchmarks.passes --converted FOLDER         # of the convert stage
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from asrpack.runtime.session import open_session
from onnx_ir.passes.common import NameFixPass, RemoveUnusedNodesPass

from asrpack.graph.files import load_graph, save_graph, save_proto
from asrpack.graph.passes import run_passes, standard_passes
from asrpack.graph.quantization.dynamic import to_int8
from asrpack.graph.quantization.layers import output_layers
from asrpack.runtime.host import describe_host
from benchmarks.int8 import MANIFEST, feeds
from benchmarks.make_conformer import configuration, write_model
from benchmarks.passes_left_out import LEFT_OUT, LeftOut
from benchmarks.stage_chain import run_until_optimized

# The others are what makes a graph readable for these, or a file the same every time.
TIMED = {
    "fold convolution bias": "one node a convolution instead of two",
    "reduce convolution rank": "Paddle's Conv1D over Conv2D becomes a Conv1D",
    "fold batch norm": "into the weights of the convolution before it",
    "pointwise convolution to MatMul": "which int8 covers",
    "merge position scores": "`(q + u) kT + (q + v) pT` as `q (k + p)T + (u kT + v pT)`",
    "fold scale": "the halves of feed-forwards, the root of the head's size, an embedding's scale",
    "mask by key": "the mask is added to one number a key, not to the scores",
    "channels last": "the subsampling's matrix takes channels innermost",
    "sink transposes": "transposes around masks and gates cancel",
    "deduplicate": "equal computations once",
}

# Rows that are not of one pass. The first shows how far two measurements of one graph differ.
WHOLE = {"none": (), "all of these": tuple(TIMED)}


@dataclass(frozen=True)
class Effect:
    """Of one pass on one graph: nodes in fp32, and speed with the pass over speed without."""

    nodes_without: int
    nodes_with: int
    fp32: float
    int8: float


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=15, help="runs of each graph")
    parser.add_argument("--converted", type=Path, help="folder of converted graphs to take")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrpack-passes-") as folder:
        workspace = Path(folder)
        converted = options.converted or convert(workspace, options.blocks)
        page = render(*measure(converted, workspace, options.pairs))
    if options.write:
        options.write.write_text(page)
    else:
        print(page)


def convert(workspace: Path, blocks: int) -> Path:
    """Converts a model with random weights."""
    write_model(workspace / "model", configuration(blocks=blocks))
    return run_until_optimized(workspace / "model", MANIFEST, workspace)["converted"]


Table = dict[str, dict[str, Effect]]


def measure(converted: Path, workspace: Path, pairs: int) -> tuple[Table, Table]:
    """By pass and graph: what the standard ones do, and what those left out would do."""
    taken: Table = {name: {} for name in (*WHOLE, *TIMED)}
    left: Table = {item.name: {} for item in LEFT_OUT}
    for graph, feed in feeds(2, 5.0).items():
        source = converted / graph
        best = Variant.of(optimized(source, ()), workspace / "best")
        for name in taken:
            away = WHOLE.get(name, (name,))
            other = Variant.of(optimized(source, away), workspace / "other")
            if not away or other.fp32.read_bytes() != best.fp32.read_bytes():
                taken[name][graph] = compare(other, best, feed, pairs)
        for item in LEFT_OUT:
            other = best.with_left_out(item, workspace / "other")
            if other.nodes != best.nodes:
                left[item.name][graph] = compare(best, other, feed, pairs)
    return taken, left


def optimized(source: Path, away: tuple[str, ...]) -> ir.Model:
    """The graph after the standard passes, without those named."""
    model = load_graph(source)
    passes = [item for item in standard_passes(source.stem) if item.name not in away]
    run_passes(model, passes, source.name)
    return model


@dataclass(frozen=True)
class Variant:
    """One graph in both precisions, as files."""

    nodes: int
    fp32: Path
    int8: Path

    @staticmethod
    def of(model: ir.Model, folder: Path) -> Variant:
        """Quantizes as a build does."""
        folder.mkdir(exist_ok=True)
        variant = Variant(model.graph.num_nodes(), folder / "fp32.onnx", folder / "int8.onnx")
        save_graph(model, variant.fp32)
        proto = onnx.load(str(variant.fp32))
        save_proto(to_int8(proto, output_layers(proto)), variant.int8)
        return variant

    def with_left_out(self, item: LeftOut, folder: Path) -> Variant:
        """The quantizer does not know ONNX Runtime's own operators, which come after it."""
        model = finished(self.fp32, item)
        if not item.after_int8:
            return Variant.of(model, folder)
        folder.mkdir(exist_ok=True)
        variant = Variant(model.graph.num_nodes(), folder / "fp32.onnx", folder / "int8.onnx")
        save_graph(model, variant.fp32)
        save_graph(finished(self.int8, item), variant.int8)
        return variant


def finished(path: Path, item: LeftOut) -> ir.Model:
    """A graph after one more pass, tidied up."""
    model = load_graph(path)
    for step in (item.apply(), RemoveUnusedNodesPass(), NameFixPass()):
        step(model)
    return model


def compare(
    without: Variant, with_it: Variant, feed: Mapping[str, np.ndarray], pairs: int
) -> Effect:
    """Times both precisions of two variants."""
    return Effect(
        without.nodes,
        with_it.nodes,
        speed(without.fp32, with_it.fp32, feed, pairs),
        speed(without.int8, with_it.int8, feed, pairs),
    )


def speed(without: Path, with_it: Path, feed: Mapping[str, np.ndarray], pairs: int) -> float:
    """How many times as fast the second graph is."""
    sessions = [open_session(path.read_bytes(), path.name, 1) for path in (without, with_it)]
    for session in sessions:
        session.run(None, dict(feed))  # allocates, and packs weights
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(pairs):
        for index in (0, 1) if turn % 2 else (1, 0):
            start = time.process_time()
            sessions[index].run(None, dict(feed))
            taken[index].append(time.process_time() - start)
    return min(taken[0]) / min(taken[1])


def render(taken: Table, left: Table) -> str:
    """The page."""
    host = describe_host()
    features = ", ".join(host["int8_features"])
    left_out = {item.name: item.description for item in LEFT_OUT}
    return "\n".join(
        [
            "# Graph passes",
            "",
            "Written by `python -m benchmarks.passes --write docs/passes.md`: a conformer of 12",
            "blocks of 256 with a decoder of 6, random weights, two utterances of 5 s, one thread.",
            "Each figure is the graph with all passes against the graph without this one: nodes of",
            "the fp32 graph, and speed by the least CPU time of several runs. `none` is the whole",
            "graph against itself: differences as small as its own say nothing. `-`: the graph has",
            "nothing for the pass.",
            "",
            *table(taken, {**dict.fromkeys(WHOLE, ""), **TIMED}),
            "",
            "Not taken up; figures are of the graph with all of the above, with against without:",
            "",
            *table(left, left_out),
            "",
            "The first of these would come before quantization, the others after it; the fused",
            "operators are ONNX Runtime's own. Tables of positions stay constants: worked out in",
            "the graph, float16 would lose them.",
            "",
            f"ONNX Runtime {onnxruntime.__version__} on {host['machine']} with {features}.",
            "",
        ]
    )


def table(effects: Table, descriptions: Mapping[str, str]) -> list[str]:
    """Rows of Markdown."""
    head = "| pass | what it does | encoder: nodes | fp32 | int8 | decoder: nodes | fp32 | int8 |"
    rows = [head, "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for name, graphs in effects.items():
        cells = [
            f"{item.nodes_without} → {item.nodes_with} | {item.fp32:.3f}x | {item.int8:.3f}x"
            if (item := graphs.get(graph))
            else "- | - | -"
            for graph in ("encoder.onnx", "decoder.onnx")
        ]
        rows.append(f"| {name} | {descriptions[name]} | {' | '.join(cells)} |")
    return rows


if __name__ == "__main__":
    main()
