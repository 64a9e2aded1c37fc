"""A model that int8 hurts: the gate refuses it, and the search finds the layers that suffer.

Two channels of a layer norm are made a thousand times larger, and the rows of the next weight
that they meet as much smaller. The network computes the same; in int8 the step of the layer's
input is as wide as all its other channels.
"""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import Workshop, make_workshop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("outliers")]

CHANNELS, FACTOR = (5, 77), 1000.0
HURT = [
    f"encoder.encoders.{block}.feed_forward{kind}.w_1.weight"
    for block in range(4)
    for kind in ("", "_macaron")
]


@pytest.fixture(scope="module")
def model(quickstart: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hurt") / "model"
    shutil.copytree(quickstart / "conformer_digits_cards", folder)
    path = folder / "exp/conformer/checkpoints/avg_1.pdparams"
    weights = pickle.loads(path.read_bytes())
    for name in HURT:
        norm = name.removesuffix(".w_1.weight").replace("feed_forward", "norm_ff")
        for part in ("weight", "bias"):
            weights[f"{norm}.{part}"][list(CHANNELS)] *= FACTOR
        weights[name][list(CHANNELS)] /= FACTOR
    path.write_bytes(pickle.dumps(weights, protocol=4))
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("shop")
    return make_workshop(folder, folder / "cache")


def test_dynamic_int8_is_rejected_by_the_gate(shop, model):
    done = shop.build("--build=cpu", f"--set=model.path={model}", status=5)
    (finding,) = json.loads(done.stdout.splitlines()[-1])["findings"]
    assert "the increase of CER over fp32" in finding["message"]
    assert "rejected" in finding["remedy"]
    kept = shop.artifact("cpu") / "rejected"
    assert (kept / "onnx" / "encoder.onnx").is_file()
    assert not (shop.artifact("cpu") / "bundle").exists()
    verdict = json.loads((kept / "gate.json").read_bytes())
    assert not verdict["ok"]


def test_the_search_repairs_it(shop, model):
    auto = ("--build=cpu", f"--set=model.path={model}", "--set=builds.cpu.precision=auto")
    done = shop.build(*auto)
    found = shop.read("cpu", "search.json")
    kept = {layer["name"] for layer in found["layers"] if layer["precision"] == "fp32"}
    assert kept and kept <= set(HURT)
    worst = sorted(found["layers"], key=lambda layer: -layer["sensitivity"])[: len(HURT)]
    assert {layer["name"] for layer in worst} == set(HURT)
    assert found["stopped"] == "met"
    limit = found["budget"]["max_increase"]
    first, *_ = sorted(found["candidates"], key=lambda item: item["float_layers"])
    (chosen,) = (item for item in found["candidates"] if item["chosen"])
    assert first["float_layers"] == 0 and first["increase"] > limit >= chosen["increase_bound"]
    assert chosen["size_ratio"] < 0.5
    events = [json.loads(line) for line in done.stdout.splitlines()]
    table = next(event["text"] for event in events if event["kind"] == "note")
    assert all(name in table for name in kept)
    assert shop.read("cpu", "gate.json")["ok"]
    assert (shop.artifact("cpu") / "bundle" / "asrpack.json").is_file()
    again = [json.loads(line) for line in shop.build(*auto).stdout.splitlines()]
    assert {"kind": "cached", "stage": "search"}.items() <= next(
        event for event in again if event["stage"] == "search"
    ).items()
