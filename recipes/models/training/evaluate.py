"""Error rates of a model by PaddleSpeech's own networks, on the quickstart's recordings.

    python recipes/models/training/evaluate.py recipes/models/deepspeech2online_digits_cards

DeepSpeech2 is decoded greedily; U2 by `ctc_greedy_search` and `attention_rescoring` (with the
`reverse_weight` of `model.yaml`). Models that stream are decoded chunk by chunk too. Nothing is
trained on these recordings.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from families import DS2_CHUNK, U2_CHUNK, build, greedy_units
from speech import read_manifest, read_samples
from units import text_featurizer

from asrpack.measure.error_rate import METRICS, count_edits, total

DATA = Path(__file__).parents[2] / "quickstart/data"
SETS = ("test", "human")

Decode = Callable[[np.ndarray], str]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="a directory with model.yaml")
    parser.add_argument("--first", type=int, metavar="N", help="utterances of each set; else all")
    parser.add_argument("--texts", action="store_true", help="print what was recognised wrong")
    options = parser.parse_args()
    evaluate(options.model, options.first, options.texts)


def evaluate(model: Path, first: int | None, texts: bool) -> None:
    """Prints one row for each set and way of decoding."""
    from paddlespeech.audio.transform.transformation import Transformation

    config = yaml.safe_load((model / "model.yaml").read_text(encoding="utf-8"))
    steps = [dict(step) for step in config["preprocess_config"]["process"]]
    for step in steps:
        if "cmvn_path" in step:
            step["cmvn_path"] = str(model / step["cmvn_path"])
    preprocess = Transformation({"process": steps})
    print("| set | decoding | CER | WER |\n| --- | --- | --- | --- |")
    for name in SETS:
        utterances = read_manifest(DATA / f"{name}.jsonl")[:first]
        features = [
            preprocess(read_samples(item.audio), train=False).astype(np.float32)
            for item in utterances
        ]
        for method, decode in decodings(model, config).items():
            found = [decode(item) for item in features]
            rates = [
                total(
                    [
                        count_edits(item.text, text, metric)
                        for item, text in zip(utterances, found, strict=True)
                    ]
                ).rate
                for metric in METRICS
            ]
            print(f"| {name} | {method} | {rates[0]:.1%} | {rates[1]:.1%} |", flush=True)
            for item, text in zip(utterances, found, strict=True):
                if texts and text != item.text:
                    print(f"    {item.audio.stem}: {item.text} -> {text}")


def decodings(model: Path, config: Mapping[str, Any]) -> dict[str, Decode]:
    """Ways to decode normalized features, by their names."""
    import paddle

    (checkpoint,) = model.glob("exp/*/checkpoints/avg_1.pdparams")
    network = build(config)
    network.set_state_dict(paddle.load(str(checkpoint)))
    network.eval()
    text_feature = text_featurizer(model, config["unit_type"], config["spm_model_prefix"])

    def greedy(features: np.ndarray, streaming: bool = False) -> str:
        return str(text_feature.defeaturize(greedy_units(network, features, streaming)))

    if "rnn_direction" in config:
        ways: dict[str, Decode] = {"greedy, whole": greedy}
        if config["rnn_direction"] == "forward":
            ways[f"greedy, chunks of {DS2_CHUNK}"] = lambda features: greedy(features, True)
        return ways

    def decode(method: str, chunk_size: int) -> Decode:
        def run(features: np.ndarray) -> str:
            texts, _ = network.decode(
                paddle.to_tensor(features[None]),
                paddle.to_tensor([len(features)]),
                text_feature=text_feature,
                decoding_method=method,
                beam_size=config["decode"]["beam_size"],
                ctc_weight=config["decode"]["ctc_weight"],
                decoding_chunk_size=chunk_size,
                num_decoding_left_chunks=-1,
                simulate_streaming=chunk_size > 0,
                reverse_weight=config["decode"]["reverse_weight"],
            )
            return str(texts[0])

        return run

    ways = {}
    chunk_sizes = [-1, U2_CHUNK] if config["encoder_conf"].get("use_dynamic_chunk") else [-1]
    for method in ("ctc_greedy_search", "attention_rescoring"):
        for size in chunk_sizes:
            ways[f"{method}, {'whole' if size < 0 else f'chunks of {size}'}"] = decode(method, size)
    return ways


if __name__ == "__main__":
    main()
