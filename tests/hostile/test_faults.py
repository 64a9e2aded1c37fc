"""Every bundle with one fault is refused with its own code, by every way in."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from asrpack.bundle.keys import recipient_private
from asrpack.bundle.opening import open_sealed
from asrpack.bundle.verify import RefusedError, verify_bundle
from asrpack.cli import main
from asrpack.errors import AsrpackError
from tests.hostile.bundles import SealedBundle
from tests.hostile.faults import FAULTS, Break

every_fault = pytest.mark.parametrize(
    ("act", "code"), [pytest.param(act, code, id=name) for name, act, code in FAULTS]
)


@pytest.fixture(scope="session")
def copied_verifier(tmp_path_factory: pytest.TempPathFactory, master_bundle: SealedBundle) -> Path:
    """The bundle's own verifier, from a place where nothing of asrpack lies beside it."""
    copy = tmp_path_factory.mktemp("verifier") / "verify.py"
    copy.write_bytes((master_bundle.path / "verify.py").read_bytes())
    return copy


@pytest.fixture(scope="session")
def loaded_verifier(copied_verifier: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("copied_verifier", copied_verifier)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@every_fault
def test_refused_with_its_code(sealed_bundle: SealedBundle, act: Break, code: str) -> None:
    act(sealed_bundle.path)
    with pytest.raises(RefusedError) as refused:
        verify_bundle(sealed_bundle.path, [sealed_bundle.bytes_of("vendor.pub")])
    findings = refused.value.findings
    assert code in {item.code for item in findings}
    assert all(item.message and item.remedy for item in findings)


@every_fault
def test_refused_on_the_command_line(
    sealed_bundle: SealedBundle, act: Break, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    act(sealed_bundle.path)
    trust = str(sealed_bundle.folder / "vendor.pub")
    assert main(["verify", str(sealed_bundle.path), "--trust", trust, "--json"]) == 6
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is False
    assert code in {item["code"] for item in result["findings"]}
    assert main(["verify", str(sealed_bundle.path), "--trust", trust]) == 6
    text = capsys.readouterr().out
    assert f"[{code}]" in text and "remedy:" in text
    assert "\u202e" not in text


@every_fault
def test_refused_by_the_bundles_own_verifier(
    sealed_bundle: SealedBundle,
    act: Break,
    code: str,
    loaded_verifier: ModuleType,
    capsys: pytest.CaptureFixture[str],
) -> None:
    act(sealed_bundle.path)
    trust = str(sealed_bundle.folder / "vendor.pub")
    assert loaded_verifier.main([str(sealed_bundle.path), "--trust", trust]) == 6
    text = capsys.readouterr().out
    assert f"[{code}]" in text and "REFUSED" in text
    assert "\u202e" not in text


@every_fault
@pytest.mark.parametrize("pinned", [True, False], ids=["key pinned", "key from the envelope"])
def test_not_opened(sealed_bundle: SealedBundle, act: Break, code: str, pinned: bool) -> None:
    identity = recipient_private(sealed_bundle.bytes_of("customer.key"), "customer.key")
    trust = [sealed_bundle.bytes_of("vendor.pub")] if pinned else []
    act(sealed_bundle.path)
    with pytest.raises(AsrpackError) as refused:
        open_sealed(sealed_bundle.path, identity, trust)
    assert refused.value.exit_code == 6
    if pinned:
        errors = getattr(refused.value, "errors", [refused.value])
        assert code in {error.code for error in errors}


@every_fault
def test_not_run(
    sealed_bundle: SealedBundle, act: Break, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    act(sealed_bundle.path)
    identity, trust = (str(sealed_bundle.folder / name) for name in ("customer.key", "vendor.pub"))
    command = ["run", str(sealed_bundle.path), "a.wav", "--identity", identity, "--trust", trust]
    assert main([*command, "--json"]) == 6
    told = json.loads(capsys.readouterr().out)
    assert code in {item["code"] for item in told["findings"]}


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


def test_runs_with_cryptography_only(sealed_bundle: SealedBundle, cryptography_only: Path) -> None:
    own = sealed_bundle.path / "verify.py"
    trust = str(sealed_bundle.folder / "vendor.pub")
    done = _run_alone(own, cryptography_only, "--trust", trust, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["ok"] is True and told["findings"] == []
    for name, act, code in FAULTS[:1] + FAULTS[17:18] + FAULTS[36:37]:
        broken = sealed_bundle.copy(sealed_bundle.folder.parent / name)
        act(broken.path)
        done = _run_alone(own, cryptography_only, str(broken.path), "--trust", trust, "--json")
        assert (done.returncode, done.stderr) == (6, "")
        assert code in {item["code"] for item in json.loads(done.stdout)["findings"]}


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


def test_verifier_imports_nothing_of_asrpack(copied_verifier: Path) -> None:
    assert "from asrpack" not in copied_verifier.read_text()
    assert "import asrpack" not in copied_verifier.read_text()


def test_names_of_faults_differ() -> None:
    assert len({name for name, _, _ in FAULTS}) == len(FAULTS) >= 30
