"""Trains one family with PaddleSpeech's own network, in one thread.

    python recipes/models/training/train.py deepspeech2online OUT --data /tmp/asr-training/data

Writes PaddleSpeech's directory to OUT: `model.yaml`, `data/lang_char/vocab.txt`,
`data/mean_std.json`, `exp/*/checkpoints/avg_1.pdparams`. The learning rate follows the clock, so
that training always comes to its end; the checkpoint is the epoch with the fewest errors on
`validation.jsonl`.
"""

from __future__ import annotations

import argparse
import math
import pickle
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from families import FAMILIES, build, configuration, greedy_units, loss
from speech import Batch, Cmvn, Example, batches, read_examples, read_manifest
from units import text_featurizer, write_units

from asrpack.measure.error_rate import count_edits, total

WARM_UP = 0.04  # of the time
GRADIENT_NORM = 5.0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="what synthesize.py wrote")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--frames", type=int, default=3000, help="of a batch, with the padding")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, help="the peak, if not the family's")
    parser.add_argument(
        "--start", type=Path, help="a trained model to take parameters of like name and shape from"
    )
    train(parser.parse_args())


def train(options: argparse.Namespace) -> None:
    """Trains for `minutes` and keeps the best checkpoint in `out`."""
    import paddle

    name, out, data, seed = options.family, options.out, options.data, options.seed

    paddle.seed(seed)
    rng = np.random.default_rng(seed)
    family = FAMILIES[name]
    utterances = read_manifest(data / "train.jsonl")
    prefix = write_units(out, family.unit_type, (item.text for item in utterances))
    text_feature = text_featurizer(out, family.unit_type, prefix)
    config = configuration(family, text_feature.vocab_size, prefix)
    (out / "model.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    examples = read_examples(utterances, text_feature, family.bins)
    held_out = read_examples(read_manifest(data / "validation.jsonl"), text_feature, family.bins)
    cmvn = Cmvn.of(examples)
    cmvn.write(out / "data/mean_std.json")
    network = build(config)
    size = sum(int(np.prod(p.shape)) for p in network.parameters())
    print(f"{name}: {size} parameters, {len(examples)} utterances", flush=True)

    checkpoint = out / "exp" / family.experiment / "checkpoints/avg_1.pdparams"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    best, epoch = math.inf, 0
    if options.start:
        taken = take_parameters(network, options.start)
        best = error_rate(network, held_out, cmvn, text_feature)
        save(network, checkpoint)
        print(f"{taken} of them from {options.start}: validation CER {best:.2%}", flush=True)
    learning_rate = options.learning_rate or family.learning_rate
    trainer = Trainer(network, learning_rate, options.minutes * 60, rng)
    while not trainer.over:
        mean = trainer.epoch(batches(examples, cmvn, options.frames, rng, shuffle=epoch > 0))
        rate = error_rate(network, held_out, cmvn, text_feature)
        if rate <= best:
            best = rate
            save(network, checkpoint)
        epoch += 1
        took = f"{trainer.elapsed / 60:.1f} min, {time.process_time() / 60:.1f} min of CPU"
        print(f"epoch {epoch}: loss {mean:.2f}, validation CER {rate:.2%}, {took}", flush=True)
    print(f"kept: validation CER {best:.2%}")


def take_parameters(network: Any, model: Path) -> int:
    """Copies what the model in a directory has of the same name and shape; how many numbers."""
    import paddle

    (checkpoint,) = model.glob("exp/*/checkpoints/avg_1.pdparams")
    theirs = paddle.load(str(checkpoint))
    common = {
        name: theirs[name]
        for name, tensor in network.state_dict().items()
        if name in theirs and theirs[name].shape == tensor.shape
    }
    network.set_state_dict(common)
    return sum(int(np.prod(tensor.shape)) for tensor in common.values())


def save(network: Any, path: Path) -> None:
    """Writes `.pdparams` as `paddle.save` does, but a parameter of two names once.

    Paddle's LSTM has each of its parameters under the layer's name and under the cell's; pickle
    keeps an array that two names share one time. Format: paddle/framework/io.py of Paddle 3.1.
    """
    state = network.state_dict()
    arrays = {tensor.name: tensor.numpy() for tensor in state.values()}
    content: dict[str, Any] = {name: arrays[tensor.name] for name, tensor in state.items()}
    content["StructuredToParameterName@@"] = {name: t.name for name, t in state.items()}
    path.write_bytes(pickle.dumps(content, protocol=4))


class Trainer:
    """AdamW whose learning rate warms up and then falls to 0 along a cosine of the time."""

    def __init__(
        self, network: Any, learning_rate: float, seconds: float, rng: np.random.Generator
    ) -> None:
        import paddle

        self.network = network
        self.peak = learning_rate
        self.seconds = seconds
        self.rng = rng
        self.started = time.monotonic()
        self.optimizer = paddle.optimizer.AdamW(
            learning_rate,
            parameters=network.parameters(),
            weight_decay=1e-3,
            grad_clip=paddle.nn.ClipGradByGlobalNorm(GRADIENT_NORM),
        )

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def over(self) -> bool:
        return self.elapsed >= self.seconds

    def epoch(self, data: Any) -> float:
        """One pass, or less if the time is over; the mean loss of an utterance."""
        self.network.train()
        losses: list[float] = []
        sizes: list[int] = []
        for batch in data:
            losses.append(self.step(batch))
            sizes.append(len(batch.lengths))
            if self.over:
                break
        return float(np.average(losses, weights=sizes))

    def step(self, batch: Batch) -> float:
        """One update; the loss before it."""
        done = min(1.0, self.elapsed / self.seconds)
        cosine = 0.5 * (1 + math.cos(math.pi * done))
        self.optimizer.set_lr(self.peak * min(done / WARM_UP + 0.02, cosine + 1e-3))
        value = loss(self.network, batch, self.rng)
        value.backward()
        self.optimizer.step()
        self.optimizer.clear_grad()
        return float(value)


def error_rate(network: Any, examples: Sequence[Example], cmvn: Cmvn, text_feature: Any) -> float:
    """Character error rate of greedy decoding with the whole context."""
    network.eval()
    edits = [
        count_edits(
            text_feature.defeaturize(example.units),
            text_feature.defeaturize(greedy_units(network, cmvn.normalize(example.features))),
            "cer",
        )
        for example in examples
    ]
    return total(edits).rate


if __name__ == "__main__":
    main()
