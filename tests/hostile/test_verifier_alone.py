"""The bundle's own verifier as a script, with nothing but Python and cryptography."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.bundles import SealedBundle
from tests.hostile.case import ALONE
from tests.hostile.cases import GROUPS

_SAMPLE = [
    (group, next(case for case in cases if ALONE in case.by))
    for group, cases in GROUPS.items()
    if any(ALONE in case.by for case in cases)
]


def _run_alone(verifier: Path, site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -S: no site-packages; only cryptography and what it needs are put back.
    return subprocess.run(
        [sys.executable, "-S", str(verifier), *arguments],
        env={"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="session")
def cryptography_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of modules that holds cryptography and nothing else."""
    import cryptography

    site = tmp_path_factory.mktemp("site")
    packages = Path(cryptography.__file__).parents[1]
    for pattern in ("cryptography", "cffi", "_cffi_backend*"):
        for found in packages.glob(pattern):
            (site / found.name).symlink_to(found)
    return site


@pytest.fixture(scope="session")
def own(master_bundle: SealedBundle) -> Path:
    return master_bundle.path / "verify.py"


def test_a_sound_bundle(sealed_bundle: SealedBundle, cryptography_only: Path) -> None:
    trust = str(sealed_bundle.folder / "vendor.pub")
    done = _run_alone(
        sealed_bundle.path / "verify.py", cryptography_only, "--trust", trust, "--json"
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["ok"] is True and told["findings"] == []


@pytest.mark.parametrize("number", range(len(_SAMPLE)), ids=[group for group, _ in _SAMPLE])
def test_one_of_each_group(
    number: int, sealed_bundle: SealedBundle, cryptography_only: Path, own: Path
) -> None:
    """The rest are shown to it in the corpus."""
    case = _SAMPLE[number][1]
    case.make(sealed_bundle)
    trust, bundle = sealed_bundle.folder / case.trust, sealed_bundle.folder / case.bundle
    done = _run_alone(own, cryptography_only, str(bundle), "--trust", str(trust))
    assert done.returncode == case.exit_code
    assert f"[{case.code_for(ALONE)}]" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_printed_steers_the_terminal(
    sealed_bundle: SealedBundle, cryptography_only: Path, own: Path
) -> None:
    (sealed_bundle.path / "a\u202e\x1b[2J").write_bytes(b"x")
    trust = str(sealed_bundle.folder / "vendor.pub")
    done = _run_alone(own, cryptography_only, str(sealed_bundle.path), "--trust", trust)
    assert done.returncode == 6 and "a\\u202e\\x1b[2J" in done.stdout
    assert done.stdout.replace("\n", "").isprintable()


def test_a_module_beside_the_verifier_does_not_run(
    sealed_bundle: SealedBundle, cryptography_only: Path
) -> None:
    (sealed_bundle.path / "argparse.py").write_text("raise SystemExit(0)\n")
    trust = str(sealed_bundle.folder / "vendor.pub")
    done = _run_alone(
        sealed_bundle.path / "verify.py", cryptography_only, "--trust", trust, "--json"
    )
    assert done.returncode == 6
    assert [item["path"] for item in json.loads(done.stdout)["findings"]] == ["argparse.py"]


def test_it_imports_nothing_of_asrpack(own: Path) -> None:
    assert "from asrpack" not in own.read_text()
    assert "import asrpack" not in own.read_text()
