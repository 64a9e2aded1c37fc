"""A tiny sealed bundle, the quickstart model's graphs, and PaddleSpeech itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import asrpack
from asrpack.bundle.envelope import Envelope
from asrpack.bundle.keys import read_key
from asrpack.bundle.metadata import BundleMetadata, ModelSummary
from asrpack.bundle.model import ModelDescription
from asrpack.pipeline.worker import run_isolated
from asrpack.protect.encrypt import encrypt_files
from asrpack.protect.keys import generate, write_key_pair
from asrpack.protect.sign import sign_tree
from asrpack.recipe.manifest import Utterance, read_manifest
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.streaming import StreamingRecognizer
from asrpack.stages.convert import Convert
from asrpack.stages.export import Export
from asrpack.stages.import_ import Import
from asrpack.stages.probe import Probe
from asrpack.stages.render import shipped_code
from asrpack.stages.stage import Context
from tests.runtime import tiny

if TYPE_CHECKING:
    from asrpack.measure.paddlespeech import PaddleSpeech

MODEL = "conformer_digits_cards"


@dataclass(frozen=True)
class Sealed:
    """A bundle and the keys around it."""

    path: Path
    identity: Path
    trust: Path
    stranger: Path


@pytest.fixture(scope="session")
def sealed_once(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """A bundle of the tiny model with the whole runtime in it. Do not change it: ``sealed``."""
    return seal(tmp_path_factory.mktemp("sealed"), tiny.describe(), tiny.graphs())


@pytest.fixture(scope="session")
def streaming_sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """A bundle of the tiny model that streams. Do not change it."""
    folder = tmp_path_factory.mktemp("sealed-streaming")
    return seal(folder, tiny.describe_streaming(), tiny.streaming_graphs())


@pytest.fixture(scope="session")
def paddle_sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """A bundle of the tiny model for Paddle Inference. Do not change it."""
    from tests.runtime import tiny_paddle

    folder = tmp_path_factory.mktemp("sealed-paddle")
    return seal(folder, tiny.describe(), tiny_paddle.graphs(), target="paddle_inference")


def seal(
    folder: Path,
    description: ModelDescription,
    files: Mapping[str, bytes],
    others: Mapping[str, bytes] | None = None,
    target: str = "onnxruntime",
) -> Sealed:
    """Encrypts and signs a model, and other files of it, with the whole runtime around it."""
    bundle, keys = folder / "bundle", folder
    vendor, _ = write_key_pair(generate("signing"), keys / "vendor.pem")
    customer, _ = write_key_pair(generate("recipient"), keys / "acme.pem")
    stranger, _ = write_key_pair(generate("signing"), keys / "stranger.pem")
    write_key_pair(generate("recipient"), keys / "other.pem")
    package = Path(asrpack.__file__).parent
    for source in shipped_code():
        shipped = bundle / "runtime" / "asrpack" / source.relative_to(package)
        shipped.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, shipped)
    (bundle / "model").mkdir()
    public = read_key((keys / "acme.pub").read_bytes(), "acme.pub")
    encrypt_files(
        {
            **files,
            "model.json": description.to_json().encode(),
            **(others or {}),
        },
        [public],
        vendor.public_bytes,
        bundle / "model",
    )
    header = Envelope.from_json((bundle / "model/envelope.json").read_bytes()).header
    metadata = BundleMetadata(
        bundle_id=header.bundle_id,
        name="tiny",
        version="1.0",
        build="cpu",
        asrpack=asrpack.__version__,
        created="2026-01-31T12:00:00Z",
        target=target,
        precision="fp32",
        model=ModelSummary("tiny", 16000, tiny.SIZE, "attention_rescoring"),
        files={f"model/{item.path}.enc": "model" for item in header.files},
        watermark=None,
        minimum_runtime="0.1.0",
        recipients=(customer.fingerprint,),
        sequence=1,
    )
    (bundle / "asrpack.json").write_bytes(metadata.to_json())
    for path in bundle.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    sign_tree(bundle, vendor, "tiny").chmod(0o644)
    assert stranger.private
    return Sealed(bundle, keys / "acme.pem", keys / "vendor.pub", keys / "stranger.pub")


@pytest.fixture
def sealed(sealed_once: Sealed, tmp_path: Path) -> Sealed:
    """A copy of the bundle that a test may change."""
    copy = tmp_path / "bundle"
    shutil.copytree(sealed_once.path, copy)
    return Sealed(copy, sealed_once.identity, sealed_once.trust, sealed_once.stranger)


@pytest.fixture(scope="session")
def imported(quickstart: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model.json`` and ``params.npz`` of the quickstart model."""
    out = tmp_path_factory.mktemp("import")
    Import().run(Import.Params(), {"model": quickstart / MODEL}, out, Context())
    return out


@pytest.fixture(scope="session")
def description(imported: Path) -> ModelDescription:
    """Of the quickstart model."""
    return ModelDescription.read(imported / "model.json")


@pytest.fixture(scope="session")
def utterances(quickstart: Path) -> dict[str, Utterance]:
    """The quickstart's human and test recordings by ``set/utt``."""
    return {
        f"{name}/{item.id}": item
        for name in ("human", "test")
        for item in read_manifest(quickstart / "data" / f"{name}.jsonl")
    }


@pytest.fixture(scope="session")
def graphs(imported: Path, quickstart: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``encoder.onnx`` and ``decoder.onnx`` of the quickstart model, as a build converts them."""
    return convert(imported, quickstart, tmp_path_factory.mktemp("graphs"))


@pytest.fixture(scope="session")
def streaming_recognizer(
    quickstart: Path, tmp_path_factory: pytest.TempPathFactory
) -> StreamingRecognizer:
    """The quickstart model as a recipe with ``streaming: {}`` has it converted."""
    folder = tmp_path_factory.mktemp("streaming")
    (folder / "import").mkdir()
    params = Import.Params.model_validate({"streaming": True})
    Import().run(params, {"model": quickstart / MODEL}, folder / "import", Context())
    graphs = convert(folder / "import", quickstart, folder)
    return StreamingRecognizer(
        load(ModelDescription.read(folder / "import" / "model.json"), graphs)
    )


def convert(imported: Path, quickstart: Path, folder: Path) -> Path:
    """The folder of the converted graphs."""
    (folder / "probe").mkdir()
    inputs = {
        "description": imported / "model.json",
        "params": imported / "params.npz",
        "manifest": quickstart / "data" / "test.jsonl",
    }
    Probe().run(Probe.Params(utterances=3), inputs, folder / "probe", Context())
    inputs["probe"] = folder / "probe" / "probe.npz"
    for stage in (Export(), Convert()):
        workspace = folder / stage.name
        (workspace / "out").mkdir(parents=True)
        run_isolated(stage, stage.Params(), inputs, workspace, Context())
        inputs |= {"paddle": workspace / "out/paddle", "cases": workspace / "out/cases.npz"}
    return folder / "convert" / "out" / "onnx"


@pytest.fixture(scope="session")
def recognizer(description: ModelDescription, graphs: Path) -> Recognizer:
    """The quickstart model on the runtime that ships."""
    return load(description, graphs)


def load(description: ModelDescription, graphs: Path) -> Recognizer:
    """On one thread."""
    return Recognizer(
        description,
        {path.name: path.read_bytes() for path in graphs.iterdir()},
        threads=1,
    )


@pytest.fixture(scope="session")
def oracle(quickstart: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaddleSpeech]:
    """PaddleSpeech with the quickstart model. It leaves logs where it runs."""
    pytest.importorskip("paddlespeech")
    from asrpack.frontends.model_directory import find_checkpoint
    from asrpack.measure.oracle import open_paddlespeech

    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("paddlespeech"))
    try:
        yield open_paddlespeech(quickstart / MODEL, find_checkpoint(quickstart / MODEL, None))
    finally:
        os.chdir(before)
