"""asrpack's graphs and texts against PaddleSpeech itself, for every published tag.

Each tag's network is made in its real size with random weights, exported, converted and optimized
by asrpack's own stages, and held against PaddleSpeech's network on real recordings: outputs one
utterance at a time and in one padded batch, texts by every decoding method. Tags that stream
are also run chunk by chunk, 16 encoder frames each.

    python -m benchmarks.parity                                  # all tags; about an hour
    python -m benchmarks.parity --tag conformer_aishell-zh-16k   # one
    python -m benchmarks.parity --write docs/parity.md           # the table of the documentation
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tags import Tag, all_tags

MANIFEST = Path(__file__).parents[1] / "recipes/quickstart/data/test.jsonl"
# PaddleSpeech's attention decoding takes minutes on longer ones.
SHORTEST, LONGEST = 0.7, 1.4
HYPOTHESES, UNITS = 4, 9
CHUNK_SIZE = 16
DIFFERENCES = ("encoder", "ctc", "ctc, batched", "ctc, chunks", "decoder", "right decoder")
METHODS = ("ctc_greedy_search", "ctc_prefix_beam_search", "attention", "attention_rescoring")
# Random output layers leave all units about equally likely, and a text then hangs on the last bit.
SHARPNESS = 8.0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tag", action="append", choices=[tag.name for tag in all_tags()])
    parser.add_argument("--utterances", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--write", type=Path, help="a Markdown file for the table")
    parser.add_argument("--here", action="store_true", help="no process for each tag")
    options = parser.parse_args()
    names = options.tag or [tag.name for tag in all_tags()]
    if options.here:
        rows = [
            measure(tag, options.utterances, options.seed)
            for tag in all_tags()
            if tag.name in names
        ]
    else:
        rows = []
        for name in names:
            rows.append(_in_a_process(name, options))
            print(f"{name}: {rows[-1]['seconds']:.0f} s", file=sys.stderr)
            if options.write:  # what is done is kept when the rest fails
                options.write.write_text(document(rows, options), encoding="utf-8")
    print(json.dumps(rows, indent=1) if options.json else table(rows))


def measure(tag: Tag, utterances: int, seed: int) -> dict[str, Any]:
    """One tag: the largest differences by output, and texts that are equal by method."""
    from asrpack.bundle.model import ModelDescription
    from asrpack.frontends.model_directory import find_checkpoint
    from asrpack.measure.evaluation import load_recognizer
    from asrpack.measure.oracle import open_paddlespeech
    from asrpack.stages.import_ import Import
    from benchmarks.stage_chain import run_until_optimized

    began = time.monotonic()
    # PaddleSpeech leaves logs where it runs.
    with (
        tempfile.TemporaryDirectory(prefix="asrpack-parity-") as folder,
        contextlib.chdir(folder),
    ):
        workspace = Path(folder)
        model = workspace / "model"
        parameters = _write(tag, model, seed)
        asked = Import.Params(streaming=tag.streams, right_to_left=tag.both_ways)
        paths = run_until_optimized(model, MANIFEST, workspace, asked)
        description = ModelDescription.read(paths["description"])
        recognizer = load_recognizer(description, paths["optimized"])
        oracle = open_paddlespeech(model, find_checkpoint(model, None))
        features = [oracle.features(oracle.samples(path)) for path in _audio(utterances, seed)]
        row = {
            "tag": tag.name,
            "parameters": parameters,
            "versions": oracle.versions,
            "utterances": utterances,
            "differences": _outputs(oracle, recognizer, features, seed)
            | _batched(oracle, description, paths["optimized"], features),
            "texts": _texts(oracle, recognizer, features),
        }
        if tag.streams:
            differences, texts = _streamed(oracle, recognizer, features)
            row["differences"] |= differences
            row["texts"] |= texts
    return row | {"seconds": time.monotonic() - began}


def _write(tag: Tag, model: Path, seed: int) -> int:
    """Writes the tag's model; its parameters in number."""
    from asrpack.networks import deepspeech2_spec, u2_spec
    from benchmarks import make_conformer, make_deepspeech2

    if "rnn_layer_size" in tag.config:
        recurrent = make_deepspeech2.write_model(model, tag.config, seed, sharpness=SHARPNESS)
        shapes = deepspeech2_spec.expected_parameters(recurrent)
    else:
        spec = make_conformer.write_model(model, tag.config, seed, sharpness=SHARPNESS)
        shapes = u2_spec.expected_parameters(spec)
    return sum(int(np.prod(shape)) for shape in shapes.values())


def _audio(count: int, seed: int) -> list[Path]:
    rows = [json.loads(line) for line in MANIFEST.read_text(encoding="utf-8").splitlines()]
    short = [row["audio"] for row in rows if SHORTEST <= row["duration"] <= LONGEST]
    return [MANIFEST.parent / name for name in random.Random(seed).sample(short, count)]


def _outputs(
    oracle: Any, recognizer: Any, features: list[np.ndarray], seed: int
) -> dict[str, float]:
    """Largest absolute differences, one utterance at a time."""
    generator = np.random.default_rng(seed)
    worst: dict[str, float] = {}
    graphs = recognizer.description.graphs
    last = len(recognizer.description.tokens) - 1

    def note(name: str, left: np.ndarray, right: np.ndarray) -> None:
        worst[name] = max(worst.get(name, 0.0), float(np.abs(left - right).max()))

    for feats in features:
        theirs, ours = oracle.outputs(feats), recognizer.encode(feats)
        note("ctc", theirs.ctc_log_probs, ours.ctc_log_probs)
        if theirs.encoder_out is None:
            continue
        note("encoder", theirs.encoder_out, ours.encoder_out)
        hyps = generator.integers(1, last, (HYPOTHESES, UNITS))
        hyps[:, 0] = last
        lengths = np.arange(UNITS, UNITS - HYPOTHESES, -1)
        left = [tuple(row[1:size]) for row, size in zip(hyps.tolist(), lengths, strict=True)]
        right = [units[::-1] for units in left]
        for graph, fed in (("decoder", left), ("right_decoder", right)):
            if graph not in graphs:
                continue
            expected = oracle.decoder_log_probs(
                theirs.encoder_out, hyps, lengths, right_to_left=graph == "right_decoder"
            )
            found, places = recognizer.decoders[graph].prefixes(ours.encoder_out, fed)
            for row, place in zip(expected, places, strict=True):
                note(graph.replace("_", " "), row[: len(place)], found[place])
    return worst


def _batched(
    oracle: Any, description: Any, graphs: Path, features: list[np.ndarray]
) -> dict[str, float]:
    """The largest difference of one padded batch from each utterance alone in PaddleSpeech."""
    from asrpack.measure.cases import onnx_run
    from asrpack.runtime.states import EncoderState

    lengths = np.array([len(feats) for feats in features])
    padded = np.zeros((len(features), lengths.max(), features[0].shape[1]), np.float32)
    for row, feats in zip(padded, features, strict=True):
        row[: len(feats)] = feats
    feed = {"feats": padded, "feat_lens": lengths}
    if (streaming := description.streaming) is not None:
        feed |= EncoderState.start(streaming, len(features)).feed(streaming)
    found = onnx_run(graphs)("encoder", feed)
    worst = 0.0
    for index, feats in enumerate(features):
        theirs, frames = oracle.outputs(feats), int(found["out_lens"][index])
        assert frames == len(theirs.ctc_log_probs)
        gap = np.abs(found["ctc_log_probs"][index, :frames] - theirs.ctc_log_probs)
        worst = max(worst, float(gap.max()))
    return {"ctc, batched": worst}


def _texts(oracle: Any, recognizer: Any, features: list[np.ndarray]) -> dict[str, int]:
    """How many texts are the same, by method."""
    encoded = [recognizer.encode(feats) for feats in features]
    return {
        method: sum(
            oracle.decode(feats, method) == recognizer.decode(item, method).text
            for feats, item in zip(features, encoded, strict=True)
        )
        for method in _methods(oracle, recognizer)
    }


def _methods(oracle: Any, recognizer: Any) -> list[str]:
    return [name for name in recognizer.description.methods if name in oracle.methods]


def _streamed(
    oracle: Any, recognizer: Any, features: list[np.ndarray]
) -> tuple[dict[str, float], dict[str, int]]:
    """Chunk by chunk: the largest difference, and texts by method."""
    from asrpack.measure.paddlespeech import Options
    from asrpack.runtime.search import Encoded

    options = Options(chunk_size=CHUNK_SIZE)
    worst, same = 0.0, dict.fromkeys(_methods(oracle, recognizer), 0)
    for feats in features:
        chunks = list(_chunks(recognizer, feats))
        theirs = oracle.outputs(feats, options)
        ours = np.concatenate([chunk.ctc_log_probs for chunk in chunks])
        worst = max(worst, float(np.abs(theirs.ctc_log_probs - ours).max()))
        for method in same:
            search = recognizer.search(method)
            for chunk in chunks:
                search.advance(Encoded(chunk.ctc_log_probs, chunk.encoder_out))
            same[method] += search.final()[0].text == oracle.decode(feats, method, options)
    return {"ctc, chunks": worst}, {f"{method}, chunks": count for method, count in same.items()}


def _chunks(recognizer: Any, feats: np.ndarray) -> Iterator[Any]:
    from asrpack.runtime.states import EncoderState

    about = recognizer.description
    state = EncoderState.start(about.streaming)
    stride = CHUNK_SIZE * about.subsampling
    window = stride - about.subsampling + about.right_context + 1
    for start in range(0, len(feats) - about.right_context, stride):
        encoded, state = recognizer.encode_chunk(feats[start : start + window], state)
        yield encoded


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: differences, then texts."""
    millions = [[row["tag"], f"{row['parameters'] / 1e6:.0f} M"] for row in rows]
    differences = [name for name in DIFFERENCES if any(name in row["differences"] for row in rows)]
    methods = [
        name for name in (*METHODS, *(f"{method}, chunks" for method in METHODS))
        if any(name in row["texts"] for row in rows)
    ]  # fmt: skip
    first = [
        [*begin, *(f"{row['differences'][name]:.0e}" if name in row["differences"] else "-"
                   for name in differences)]
        for begin, row in zip(millions, rows, strict=True)
    ]  # fmt: skip
    second = [
        [row["tag"], *(f"{row['texts'][name]} of {row['utterances']}" if name in row["texts"]
                       else "-" for name in methods)]
        for row in rows
    ]  # fmt: skip
    return "\n\n".join(
        [
            _markdown(["largest difference", "parameters", *differences], first),
            _markdown(["same text", *methods], second),
        ]
    )


def _markdown(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def document(rows: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """The page of the documentation."""
    versions = ", ".join(f"{name} {number}" for name, number in rows[0]["versions"].items())
    return (
        "# Parity with PaddleSpeech\n\n"
        "Written by `python -m benchmarks.parity --write docs/parity.md`: the network of every\n"
        "published tag in its real size, with random weights, exported, converted and optimized,\n"
        f"against PaddleSpeech's own on {options.utterances} recordings of {SHORTEST} to\n"
        f"{LONGEST} s. Differences are the largest absolute ones of one recording at a time;\n"
        f"`batched` is one padded batch of all, `chunks` runs the encoder {CHUNK_SIZE} frames at\n"
        f"a time, as PaddleSpeech does with `decoding_chunk_size={CHUNK_SIZE}` and\n"
        "`simulate_streaming`. The output\n"
        f"layers' weights are {SHARPNESS:.0f} times as wide as an untrained network's, so that a\n"
        "text does not hang on the last bit. PaddleSpeech's own beam search for DeepSpeech2 has\n"
        "no package for Python 3.11, so there the best path is compared.\n\n"
        "Two beams of `attention` that are nearer than those differences may change places. As\n"
        "PaddleSpeech does not reorder its cache with them, their scores part from there on, and\n"
        f"so may the text.\n\n{table(rows)}\n\n"
        f"Against {versions}; seed {options.seed}.\n"
    )


def _in_a_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Gives the memory of one tag back before the next."""
    command = [sys.executable, "-m", "benchmarks.parity", "--here", "--json", f"--tag={name}",
               f"--utterances={options.utterances}", f"--seed={options.seed}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr[-2000:]}")
    row: dict[str, Any] = json.loads(done.stdout[done.stdout.index("[\n") :])[0]
    return row


if __name__ == "__main__":
    main()
