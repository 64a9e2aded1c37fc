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
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tags import Tag, u2_tags

MANIFEST = Path(__file__).parents[1] / "recipes/quickstart/data/test.jsonl"
SHORTEST, LONGEST = 1.0, 3.0
HYPOTHESES, UNITS = 4, 9
CHUNK_SIZE = 16
# Random output layers leave all units about equally likely, and a text then hangs on the last bit.
SHARPNESS = 8.0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tag", action="append", choices=[tag.name for tag in u2_tags()])
    parser.add_argument("--utterances", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--write", type=Path, help="a Markdown file for the table")
    parser.add_argument("--here", action="store_true", help="no process for each tag")
    options = parser.parse_args()
    names = options.tag or [tag.name for tag in u2_tags()]
    if options.here:
        rows = [
            measure(tag, options.utterances, options.seed) for tag in u2_tags() if tag.name in names
        ]
    else:
        rows = [_in_a_process(name, options) for name in names]
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        print(table(rows))
    if options.write:
        options.write.write_text(document(rows, options), encoding="utf-8")


def measure(tag: Tag, utterances: int, seed: int) -> dict[str, Any]:
    """One tag: the largest differences by output, and texts that are equal by method."""
    from asrpack.bundle.model import ModelDescription
    from asrpack.frontends.model_directory import find_checkpoint
    from asrpack.measure.evaluation import load_recognizer
    from asrpack.measure.paddlespeech import open_paddlespeech
    from asrpack.stages.import_ import Import
    from benchmarks.make_conformer import write_model
    from benchmarks.stage_chain import run_until_optimized

    began = time.monotonic()
    # PaddleSpeech leaves logs where it runs.
    with (
        tempfile.TemporaryDirectory(prefix="asrpack-parity-") as folder,
        contextlib.chdir(folder),
    ):
        workspace = Path(folder)
        model = workspace / "model"
        write_model(model, tag.config, seed, sharpness=SHARPNESS)
        params = Import.Params.model_validate({"streaming": tag.streams})
        paths = run_until_optimized(model, MANIFEST, workspace, params)
        description = ModelDescription.read(paths["description"])
        recognizer = load_recognizer(description, paths["optimized"])
        oracle = open_paddlespeech(model, find_checkpoint(model, None))
        features = [oracle.features(oracle.samples(path)) for path in _audio(utterances, seed)]
        row = {
            "tag": tag.name,
            "versions": oracle.versions,
            "utterances": utterances,
            "differences": _outputs(oracle, recognizer, features, seed)
            | _batched(oracle, recognizer, paths["optimized"], features),
            "texts": _texts(oracle, recognizer, features),
        }
        if tag.streams:
            row["differences"] |= _chunked(oracle, recognizer, features)
            row["texts"] |= _streamed(oracle, recognizer, features)
    return row | {"seconds": time.monotonic() - began}


def _audio(count: int, seed: int) -> list[Path]:
    rows = [json.loads(line) for line in MANIFEST.read_text(encoding="utf-8").splitlines()]
    short = [row["audio"] for row in rows if SHORTEST <= row["duration"] <= LONGEST]
    return [MANIFEST.parent / name for name in random.Random(seed).sample(short, count)]


def _outputs(
    oracle: Any, recognizer: Any, features: list[np.ndarray], seed: int
) -> dict[str, float]:
    """Largest absolute differences, one utterance at a time."""
    generator = np.random.default_rng(seed)
    worst = {"encoder": 0.0, "ctc": 0.0, "decoder": 0.0}
    size = len(recognizer.description.tokens)
    for feats in features:
        theirs, ours = oracle.outputs(feats), recognizer.encode(feats)
        hyps = generator.integers(1, size - 1, (HYPOTHESES, UNITS))
        hyps[:, 0] = size - 1
        lengths = np.arange(UNITS, UNITS - HYPOTHESES, -1)
        expected = oracle.decoder_log_probs(theirs.encoder_out, hyps, lengths)
        found = recognizer._run_decoder(ours.encoder_out, hyps, lengths)
        pairs = {
            "encoder": (theirs.encoder_out, ours.encoder_out),
            "ctc": (theirs.ctc_log_probs, ours.ctc_log_probs),
        }
        for name, (left, right) in pairs.items():
            worst[name] = max(worst[name], float(np.abs(left - right).max()))
        for left, right, length in zip(expected, found, lengths, strict=True):
            gap = float(np.abs(left[:length] - right[:length]).max())
            worst["decoder"] = max(worst["decoder"], gap)
    return worst


def _batched(
    oracle: Any, recognizer: Any, graphs: Path, features: list[np.ndarray]
) -> dict[str, float]:
    """The largest difference of one padded batch from each utterance alone in PaddleSpeech."""
    from asrpack.measure.cases import onnx_run
    from asrpack.runtime.states import EncoderState

    lengths = np.array([len(feats) for feats in features])
    padded = np.zeros((len(features), lengths.max(), features[0].shape[1]), np.float32)
    for row, feats in zip(padded, features, strict=True):
        row[: len(feats)] = feats
    feed = {"feats": padded, "feat_lens": lengths}
    if (streaming := recognizer.description.streaming) is not None:
        feed |= EncoderState.start(streaming, len(features)).feed(streaming)
    found = onnx_run(graphs)("encoder", feed)
    worst = 0.0
    for index, feats in enumerate(features):
        theirs, frames = oracle.outputs(feats), int(found["out_lens"][index])
        assert frames == len(theirs.ctc_log_probs)
        gap = np.abs(found["ctc_log_probs"][index, :frames] - theirs.ctc_log_probs)
        worst = max(worst, float(gap.max()))
    return {"batched": worst}


def _texts(oracle: Any, recognizer: Any, features: list[np.ndarray]) -> dict[str, int]:
    """How many texts are the same, by method."""
    same: dict[str, int] = {}
    for method in recognizer.description.methods:
        same[method] = sum(
            oracle.decode(feats, method) == recognizer.decode(recognizer.encode(feats), method).text
            for feats in features
        )
    return same


def _chunked(oracle: Any, recognizer: Any, features: list[np.ndarray]) -> dict[str, float]:
    """The largest difference of the CTC output, chunk by chunk."""
    worst = 0.0
    for feats in features:
        theirs = oracle.outputs(feats, _options()).ctc_log_probs
        ours = _by_chunks(recognizer, feats).ctc_log_probs
        assert ours.shape == theirs.shape
        worst = max(worst, float(np.abs(ours - theirs).max()))
    return {f"ctc, chunks of {CHUNK_SIZE}": worst}


def _streamed(oracle: Any, recognizer: Any, features: list[np.ndarray]) -> dict[str, int]:
    """How many texts are the same chunk by chunk, by method."""
    return {
        f"{method}, chunks": sum(
            oracle.decode(feats, method, _options())
            == recognizer.decode(_by_chunks(recognizer, feats), method).text
            for feats in features
        )
        for method in recognizer.description.methods
    }


def _options() -> Any:
    from asrpack.measure.paddlespeech import Options

    return Options(chunk_size=CHUNK_SIZE, left_chunks=-1)


def _by_chunks(recognizer: Any, feats: np.ndarray) -> Any:
    """The encoder's result as a stream computes it."""
    from asrpack.runtime.recognizer import Encoded
    from asrpack.runtime.states import EncoderState

    about = recognizer.description
    assert (about.streaming.chunk_size, about.streaming.left_chunks) == (CHUNK_SIZE, -1)
    stride = CHUNK_SIZE * about.subsampling
    window = stride - about.subsampling + about.right_context + 1
    state, chunks = EncoderState.start(about.streaming), []
    for start in range(0, len(feats) - about.right_context, stride):
        encoded, state = recognizer.encode_chunk(feats[start : start + window], state)
        chunks.append(encoded)
    return Encoded(
        np.concatenate([chunk.ctc_log_probs for chunk in chunks]),
        np.concatenate([chunk.encoder_out for chunk in chunks]),
    )


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    methods = list(dict.fromkeys(name for row in rows for name in row["texts"]))
    differences = list(dict.fromkeys(name for row in rows for name in row["differences"]))
    head = ["tag", *differences, *methods]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    for row in rows:
        cells = [f"{row['differences'][name]:.1e}" if name in row["differences"] else "-"
                 for name in differences]  # fmt: skip
        cells += [
            f"{row['texts'][name]} of {row['utterances']}" if name in row["texts"] else "-"
            for name in methods
        ]
        lines.append("| " + " | ".join([row["tag"], *cells]) + " |")
    return "\n".join(lines)


def document(rows: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """The page of the documentation."""
    versions = ", ".join(f"{name} {number}" for name, number in rows[0]["versions"].items())
    return (
        "# Parity with PaddleSpeech\n\n"
        "Written by `python -m benchmarks.parity --write docs/parity.md`. Networks of the real\n"
        "sizes with random weights; the largest absolute difference of each output from\n"
        "PaddleSpeech's own, and how many texts are identical. The output layers' weights are\n"
        f"{SHARPNESS:.0f} times as wide as an untrained network's, so that a text does not hang\n"
        f"on the last bit.\n\n{table(rows)}\n\nAgainst {versions}; seed {options.seed}.\n"
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
