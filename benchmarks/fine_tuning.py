"""Trains a copy further: gradient steps of CTC in Paddle on all of its parameters.

A leaked graph's matrices have the names of the parameters they came from, so whoever has the
graph has a network to train. The result goes through export, convert and optimize, as any model.

    python -m benchmarks.fine_tuning PARAMS.npz MODEL.json MANIFEST OUT.npz --steps 60
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asrpack.bundle.model import ModelDescription
from asrpack.measure.compare import load_arrays, save_arrays
from asrpack.stages.convert import Convert
from asrpack.stages.export import Export
from asrpack.stages.optimize import Optimize
from benchmarks.stage_chain import run_stage

BATCH = 5


def fine_tuned(
    values: Mapping[str, np.ndarray],
    original: Mapping[str, np.ndarray],
    built: Path,
    manifest: Path,
    workspace: Path,
    *,
    steps: int,
    rate: float,
) -> None:
    """Leaves the fp32 graphs of a copy that was trained further, as optimize does.

    Args:
        values: the copy's matrices by ``GRAPH/NAME``.
        original: those of the unmarked graphs, likewise.
        built: where :func:`benchmarks.stage_chain.run_until_optimized` worked.
        workspace: made; ``optimize/out/onnx`` in it has the graphs.
        rate: AdamW's learning rate.
    """
    description = built / "import/out/model.json"
    parameters = load_arrays(built / "import/out/params.npz")
    for name, value in values.items():
        parameter = name.split("/", 1)[1]
        if parameter in parameters and name in original:
            parameters[parameter] = _unfolded(parameters[parameter], original[name], value)
    workspace.mkdir()
    save_arrays(workspace / "params.npz", parameters)
    words = [workspace / "params.npz", description, manifest, workspace / "tuned.npz"]
    settings = ["--steps", str(steps), "--rate", str(rate)]
    # Paddle in a process of its own, as the stages have it.
    subprocess.run(
        [sys.executable, "-m", "benchmarks.fine_tuning", *map(str, words), *settings],
        check=True,
    )
    given = {
        "description": description,
        "params": workspace / "tuned.npz",
        "probe": built / "probe/out/probe.npz",
    }
    exported = run_stage(Export(), given, workspace)
    compared = {"description": description, "cases": exported / "cases.npz"}
    converted = run_stage(Convert(), {"paddle": exported / "paddle", **compared}, workspace)
    run_stage(Optimize(), {"onnx": converted / "onnx", **compared}, workspace)


def _unfolded(parameter: np.ndarray, folded: np.ndarray, value: np.ndarray) -> np.ndarray:
    """A parameter with the change of its matrix, whose rows or columns optimize had scaled."""
    turned = parameter.ndim == 3  # a pointwise convolution, (out, in, 1)
    matrix = parameter[:, :, 0].T if turned else parameter
    ratio = np.divide(matrix, folded, out=np.ones_like(matrix), where=folded != 0)
    changed = matrix + (value - folded) * ratio
    result: np.ndarray = changed.T[:, :, None] if turned else changed
    return result.astype(np.float32)


def train(
    parameters: Mapping[str, np.ndarray],
    description: ModelDescription,
    manifest: Path,
    steps: int,
    rate: float,
) -> dict[str, np.ndarray]:
    """Parameters after so many steps of AdamW on batches of a manifest, and the loss on the way."""
    import paddle

    from asrpack.networks import u2
    from asrpack.networks.u2_spec import U2Spec

    paddle.seed(0)
    network = u2.build(U2Spec.from_dict(description.network), parameters)
    encoder = u2.EncoderGraph(network)
    encoder.train()
    examples = _examples(description, manifest)
    optimizer = paddle.optimizer.AdamW(rate, parameters=encoder.parameters(), weight_decay=1e-3)
    order = np.random.default_rng(0)
    for step in range(steps):
        chosen = order.choice(len(examples), BATCH, replace=False)
        feats, lengths, units, unit_lengths = _batch([examples[index] for index in chosen])
        _, log_probs, out_lengths = encoder(paddle.to_tensor(feats), paddle.to_tensor(lengths))
        loss = paddle.nn.functional.ctc_loss(
            log_probs.transpose([1, 0, 2]),
            paddle.to_tensor(units),
            out_lengths,
            paddle.to_tensor(unit_lengths),
            blank=description.blank_id,
        )
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        if step % 20 == 0 or step == steps - 1:
            print(f"  step {step}: loss {float(loss):.3f}", file=sys.stderr)
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    return {name: state.get(name, value) for name, value in parameters.items()}


def _examples(description: ModelDescription, manifest: Path) -> list[tuple[Any, Any]]:
    """Features and units of each utterance.

    A letter that the model has no unit for stands for any: a model with random weights is trained
    on a text as good as another.
    """
    from asrpack.recipe.manifest import read_manifest
    from asrpack.runtime.audio import read_audio
    from asrpack.runtime.front_end import FrontEnd

    front_end = FrontEnd(description.front_end, description.cmvn)
    index = {token: number for number, token in enumerate(description.tokens)}

    def unit(letter: str) -> int:
        return index.get("<space>" if letter == " " else letter, ord(letter) % len(index))

    return [
        (
            front_end(read_audio(item.audio, description.sample_rate)),
            np.array([unit(letter) for letter in item.text], np.int32),
        )
        for item in read_manifest(manifest)
    ]


def _batch(examples: list[tuple[Any, Any]]) -> tuple[np.ndarray, ...]:
    """Padded: features, their lengths, units, their lengths."""
    lengths = np.array([len(feats) for feats, _ in examples], np.int64)
    unit_lengths = np.array([len(units) for _, units in examples], np.int64)
    feats = np.zeros((len(examples), lengths.max(), examples[0][0].shape[1]), np.float32)
    units = np.zeros((len(examples), unit_lengths.max()), np.int32)
    for row, (one, other) in enumerate(examples):
        feats[row, : len(one)] = one
        units[row, : len(other)] = other
    return feats, lengths, units, unit_lengths


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("params", "description", "manifest", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, default=1e-4)
    options = parser.parse_args()
    description = ModelDescription.read(options.description)
    parameters = load_arrays(options.params)
    tuned = train(parameters, description, options.manifest, options.steps, options.rate)
    save_arrays(options.out, tuned)


if __name__ == "__main__":
    main()
