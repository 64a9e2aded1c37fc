from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asrpack.cli import main
from tests.trace.models import write_vendor

Traced = Callable[[Path], tuple[int, dict[str, Any]]]


@pytest.fixture(scope="session")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_vendor(tmp_path_factory.mktemp("vendor"))


@pytest.fixture
def trace(vendor: list[str], capsys: pytest.CaptureFixture[str]) -> Traced:
    """Runs ``asrpack trace SUSPECT --json``: exit code, and z by customer or the error."""

    def run(suspect: Path) -> tuple[int, dict[str, Any]]:
        code = main(["trace", str(suspect), *vendor, "--json"])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        answer = json.loads(told.out)
        if code == 0:
            return code, {item["customer"]: item for item in answer}
        (finding,) = answer["findings"]
        return code, finding

    return run
