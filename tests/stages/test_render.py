"""``encrypt`` and ``render``: the language model, and all that the runtime needs for it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asrpack.bundle.model import NGRAM_FILE, DecodeDefaults, NgramWeights
from asrpack.report.packages import RUNTIME, SERVICE, runtime_packages
from asrpack.stages.render import PACKAGE, shipped_code
from tests.report.schemas import bill_faults, check_statement
from tests.runtime import tiny
from tests.stages.rendered import render_tree
from tests.stages.wheel_files import make_wheel

MODEL = Path(__file__).parents[1] / "runtime/data/characters.klm"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_tree(tmp_path_factory.mktemp("plain"), tiny.describe(), None)


@pytest.fixture(scope="module")
def with_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    about = tiny.describe(decode=DecodeDefaults(ngram=NgramWeights()))
    return render_tree(tmp_path_factory.mktemp("ngram"), about, MODEL)


@pytest.fixture(scope="module")
def for_paddle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paddle")
    return render_tree(folder, tiny.describe(), None, "paddle_inference")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of each requirement, one for each of two machines."""
    folder = tmp_path_factory.mktemp("wheels")
    for name, version in runtime_packages("onnxruntime"):
        for machine in ("x86_64", "aarch64"):
            # A wheel's name has no hyphens in a distribution's.
            make_wheel(folder, name.replace("-", "_"), version, f"py3-none-linux_{machine}")
    return folder


@pytest.fixture(scope="module")
def with_wheels(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_tree(tmp_path_factory.mktemp("full"), tiny.describe(), None, wheels=wheels)


def required(tree: Path) -> set[str]:
    lines = (tree / "requirements.txt").read_text(encoding="utf-8").split()
    assert all(re.fullmatch(r"[\w.-]+==[\w.+-]+", line) for line in lines)
    return {line.partition("==")[0] for line in lines}


def roles(tree: Path) -> dict[str, str]:
    files: dict[str, str] = json.loads((tree / "asrpack.json").read_bytes())["files"]
    return files


def test_packages_with_and_without_a_language_model() -> None:
    pytest.importorskip("flashlight.lib.text")
    plain = dict(runtime_packages("onnxruntime"))
    more = dict(runtime_packages("onnxruntime", ngram=True))
    assert set(RUNTIME) <= set(plain) and plain.items() <= more.items()
    assert "flashlight-text" in more and "flashlight-text" not in plain


def test_what_is_not_python_ships_with_its_source_or_licence(plain: Path) -> None:
    search = ("prefix_beam.c", "prefix_beam-x86_64.so", "prefix_beam-aarch64.so")
    detector = ("silero_vad.onnx", "LICENSE")
    page = ("index.html", "page.css", "page.js", "worklet.js", "icon.svg")
    names = {"decoding": search, "vad": detector, "service/page": page}
    for name in (f"{folder}/{name}" for folder, held in names.items() for name in held):
        original = PACKAGE / "runtime" / name
        assert original in shipped_code()
        assert (plain / "runtime/asrpack/runtime" / name).read_bytes() == original.read_bytes()
    assert {path.suffix for path in (plain / "runtime").rglob("*") if path.is_file()} == {
        *(".py", ".c", ".so", ".onnx", ".html", ".css", ".js", ".svg", "")
    }


def test_a_language_model_is_encrypted_and_named(plain: Path, with_model: Path) -> None:
    assert roles(with_model) == {
        **roles(plain),
        f"model/{NGRAM_FILE}.enc": "language_model",
    }
    assert set(roles(plain).values()) == {"encoder", "decoder", "description"}
    sealed = (with_model.parent / f"model/{NGRAM_FILE}.enc").read_bytes()
    content = MODEL.read_bytes()
    assert len(sealed) > len(content) and content[:48] not in sealed


def test_what_reads_it_is_required_only_where_it_is(plain: Path, with_model: Path) -> None:
    pytest.importorskip("flashlight.lib.text")
    assert required(with_model) - required(plain) == {"flashlight-text"}
    documents = [(tree / "sbom.cdx.json").read_text() for tree in (plain, with_model)]
    assert ["flashlight-text" in text for text in documents] == [False, True]


def test_the_documents_are_valid_and_of_the_encrypted_files(plain: Path, with_model: Path) -> None:
    for tree in (plain, with_model):
        statement = json.loads((tree / "provenance.intoto.json").read_bytes())
        check_statement(statement)
        assert bill_faults(json.loads((tree / "sbom.cdx.json").read_bytes())) is None
        digests = {item["name"]: item["digest"] for item in statement["subject"]}
        # Not the envelope, which `asrpack recipients` changes.
        assert digests == {
            f"model/{path.name}": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for path in (tree.parent / "model").glob("*.enc")
        }


def test_what_the_documentation_says_to_check_them_with_runs(plain: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "provenance.md"
    (program,) = re.findall(r"<<'END'\n(.*?)END\n", page.read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-"], input=program, cwd=plain, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["CycloneDX 1.6: valid", "SLSA Provenance v1: valid"]


def test_a_bundle_requires_its_own_engine(plain: Path, for_paddle: Path) -> None:
    pytest.importorskip("paddle")
    for tree in (plain, for_paddle):  # speech is detected on ONNX Runtime, whatever the engine
        assert {"onnxruntime", *RUNTIME, *SERVICE} <= required(tree)
    assert {"paddlepaddle", "setuptools"} <= required(for_paddle) - required(plain)
    images = [(tree / "Dockerfile").read_text() for tree in (plain, for_paddle)]
    assert ["import numpy, onnxruntime," in text for text in images] == [True, False]
    assert ["import numpy, paddle.inference," in text for text in images] == [False, True]
    assert roles(for_paddle) == {
        "model/encoder.json.enc": "encoder",
        "model/encoder.pdiparams.enc": "encoder",
        "model/decoder.json.enc": "decoder",
        "model/decoder.pdiparams.enc": "decoder",
        "model/model.json.enc": "description",
    }
    metadata = json.loads((for_paddle / "asrpack.json").read_bytes())
    assert metadata["target"] == "paddle_inference"


def test_wheels_are_all_that_is_installed(plain: Path, with_wheels: Path, wheels: Path) -> None:
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels.iterdir()}
    text = (with_wheels / "requirements.txt").read_text(encoding="utf-8")
    assert set(re.findall(r"--hash=sha256:([0-9a-f]{64})", text)) == digests
    entries = re.findall(r"^[\w.-]+==[\w.+-]+( \\\n    --hash=sha256:[0-9a-f]{64}){2}$", text, re.M)
    assert len(entries) == len(runtime_packages("onnxruntime"))
    images = [(tree / "Dockerfile").read_text() for tree in (plain, with_wheels)]
    assert ["--no-index --find-links wheels --require-hashes" in text for text in images] == [
        *(False, True)
    ]


def test_the_bill_lists_each_wheel_under_its_package(plain: Path, with_wheels: Path) -> None:
    bills = [json.loads((tree / "sbom.cdx.json").read_bytes()) for tree in (plain, with_wheels)]
    for bill in bills:
        assert bill_faults(bill) is None
    files = [
        {
            item["name"]: [inner["name"] for inner in item["components"]]
            for item in bill["components"]
            if item["type"] == "library" and "components" in item
        }
        for bill in bills
    ]
    assert not files[0]
    assert set(files[1]) == {name for name, _ in runtime_packages("onnxruntime")}
    assert all(len(wheels) == 2 for wheels in files[1].values())


def test_what_was_said_in_the_test_set_does_not_ship(plain: Path) -> None:
    assert not [
        path
        for path in plain.rglob("*")
        if path.is_file() and b"what was said in the test set" in path.read_bytes()
    ]
