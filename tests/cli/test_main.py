"""The command line itself: help, exit codes, what it imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from asrpack.cli import VERBS, main

# None of these may be loaded to print help.
HEAVY = ("numpy", "onnx", "onnxruntime", "paddle", "pydantic", "ruamel", "cryptography", "rich")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from asrpack.cli import main; main(['--help']);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
    assert all(f"  {verb} " in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"asrpack {verb}" in capsys.readouterr().out


def test_an_unknown_verb_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bild"]) == 2
    assert "bild" in capsys.readouterr().err


def test_an_error_has_place_cause_and_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "no.yaml"
    assert main(["build", str(missing)]) == 3
    told = capsys.readouterr().err
    assert str(missing) in told and "remedy:" in told and "Traceback" not in told


def test_json_errors_go_to_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(tmp_path / "no.yaml"), "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False and report["exit_code"] == 3
    assert set(report["findings"][0]) >= {"code", "path", "message", "remedy"}


def test_a_bug_is_exit_1_with_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setitem(VERBS, "schema", ("schema", "no_such_function", "broken"))
    assert main(["schema"]) == 1
    told = capsys.readouterr().err
    assert "please report it" in told and "Traceback" not in told
