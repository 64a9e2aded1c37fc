"""The sealed bundle on a host that has no asrpack."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest

from asrpack.report.packages import installed_closure, runtime_packages
from tests.e2e.conftest import RECIPE, Workshop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]


def environment_with(folder: Path, packages: list[tuple[str, str]]) -> Path:
    """A new virtual environment's Python, with these packages and nothing else.

    Their installed files are linked in, so that no network is needed.
    """
    venv.create(folder, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for name, _ in packages:
        dist = distribution(name)
        for top in {Path(str(item)).parts[0] for item in dist.files or ()} - {"..", "__pycache__"}:
            target = site / top
            if not target.exists():
                target.symlink_to(Path(str(dist.locate_file(top))))
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With what a bundle's requirements.txt lists."""
    return environment_with(tmp_path_factory.mktemp("bare"), runtime_packages("onnxruntime"))


def call(python: Path, bundle: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(bundle / "runtime"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [str(python), *arguments], env=environment, capture_output=True, text=True, cwd="/"
    )


@pytest.fixture(scope="module")
def copy(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("customer") / "bundle"
    shutil.copytree(bundle, target)
    return target


def test_asrpack_is_not_installed_there(bare_python: Path) -> None:
    for module in ("asrpack", "paddle", "onnx", "pydantic"):
        done = subprocess.run([str(bare_python), "-I", "-c", f"import {module}"], check=False)
        assert done.returncode != 0


def test_the_runtime_transcribes_from_the_bundle_alone(
    bare_python: Path, copy: Path, workshop: Workshop
) -> None:
    recording = RECIPE.parent / "data" / "human" / "001.wav"
    done = call(
        bare_python, copy, "-m", "asrpack.runtime", "run", str(copy), str(recording), "--json",
        "--identity", str(workshop.keys / "acme.key"), "--trust", str(workshop.keys / "vendor.pub"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == "ten of clubs"
    # and it left nothing behind that would break the seal
    check = call(
        bare_python, copy, "-m", "asrpack.runtime", "verify", str(copy),
        "--trust", str(workshop.keys / "vendor.pub"),
    )  # fmt: skip
    assert check.returncode == 0, check.stderr


def test_the_images_commands_work(bare_python: Path, copy: Path, workshop: Workshop) -> None:
    """ENTRYPOINT of the Dockerfile, with its environment."""
    environment = {
        "PATH": f"{bare_python.parent}:/usr/bin:/bin",
        "PYTHONPATH": str(copy / "runtime"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ASRPACK_TRUST": str(workshop.keys / "vendor.pub"),
        "ASRPACK_IDENTITY": str(workshop.keys / "acme.key"),
    }
    lines = (copy / "Dockerfile").read_text().splitlines()
    entrypoint = next(line for line in lines if line.startswith("ENTRYPOINT "))
    command = [*json.loads(entrypoint.removeprefix("ENTRYPOINT ")), "selftest", str(copy)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr


def test_the_dockerfile_lints(copy: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "hadolint"), str(copy / "Dockerfile")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stand_alone_verifier(bare_python: Path, copy: Path, workshop: Workshop) -> None:
    key = str(workshop.keys / "vendor.pub")
    done = subprocess.run(
        [str(bare_python), "-I", str(copy / "verify.py"), "--trust", key, "--json"],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"]


def test_model_signing_accepts_it(copy: Path, workshop: Workshop) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "model_signing", "verify", "key", str(copy),
            "--signature", str(copy / "model.sig"),
            "--public_key", str(workshop.keys / "vendor.pub"),
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_asrpack_without_extras_verifies_and_runs_but_does_not_build(
    tmp_path: Path, copy: Path, workshop: Workshop
) -> None:
    packages = installed_closure(["asrpack"])
    assert not {"paddlepaddle", "onnx", "paddlespeech"} & {name for name, _ in packages}
    python = environment_with(tmp_path / "venv", packages)
    key, identity = str(workshop.keys / "vendor.pub"), str(workshop.keys / "acme.key")
    recording = str(RECIPE.parent / "data" / "human" / "001.wav")

    def asrpack(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(python), "-m", "asrpack", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    assert asrpack("verify", str(copy), "--trust", key).returncode == 0
    assert "digits-cards 1.0.0" in asrpack("inspect", str(copy)).stdout
    run = asrpack("run", str(copy), recording, "--identity", identity, "--trust", key)
    assert run.stdout.endswith("ten of clubs\n"), run.stderr
    build = asrpack("build", str(RECIPE), *workshop.overrides())
    assert build.returncode == 4 and "asrpack[build]" in build.stderr
    assert asrpack("doctor").returncode == 0
