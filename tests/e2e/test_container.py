"""The bundle's image, really built and run: no network, no privilege, nothing writable."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Measured
from tests.e2e import emulated
from tests.e2e.conftest import RECIPE, Workshop
from tests.e2e.containers import BASE, TOOLS, Containers, need, roomy_folder

pytestmark = [pytest.mark.slow, pytest.mark.container, pytest.mark.xdist_group("e2e")]

RECORDING = RECIPE.parent / "data" / "human" / "001.wav"


@pytest.fixture(scope="module")
def wheeled(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The int8 bundle with wheels for both platforms."""
    need(*TOOLS, "nsenter", "curl")
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the base image made here has Debian 12's Python, 3.11")
    out = tmp_path_factory.mktemp("wheeled")
    more = "--set=bundle={wheels: [linux/amd64, linux/arm64], golden: 2}"
    command = workshop.build_command("--build=cpu", more, f"--out={out}")
    done = subprocess.run(command, env=workshop.environment(), capture_output=True, text=True)
    if "wheels-missing" in done.stdout:
        pytest.skip("no package index that has the wheels can be reached")
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "digits-cards-1.0.0-cpu" / "bundle"


@pytest.fixture(scope="module")
def containers(wheeled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """With the bundle's image, ``asr``."""
    with roomy_folder(tmp_path_factory.mktemp("containers")) as folder:
        tools = Containers.below(folder)
        try:
            tools.make_base()
            tools.build(wheeled, "asr", "docker")
            yield tools
        finally:
            tools.clean()


@pytest.fixture(scope="module")
def service(
    containers: Containers, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> Containers:
    """The image's own command, running under the name of ``service``."""
    folder = tmp_path_factory.mktemp("keys")
    files = {"vendor.pub": "vendor.pub", "acme.key": "identity.key"}
    for name, target in files.items():
        shutil.copyfile(workshop.keys / name, folder / target)  # readable for the image's user
    secrets = [f"--volume={folder / name}:/run/secrets/{name}:ro" for name in files.values()]
    # A proxy that clients of Docker hand to each container: nothing in it must ask one.
    containers.start("asr", "service", "--env=http_proxy=http://127.0.0.1:9", *secrets)
    return containers


def transcribe(service: Containers, recording: Path) -> str:
    """By HTTP, from outside, in the container's network: it has no other."""
    process = service.inspect("service", "{{.State.Pid}}")
    url = "http://127.0.0.1:8080/v1/audio/transcriptions"
    form = ("--form", f"file=@{recording}", "--form", "model=digits-cards")
    answer = service("nsenter", f"--target={process}", "--net", "curl", "--silent", *form, url)
    text = json.loads(answer)["text"]
    assert isinstance(text, str)
    return text


def test_it_serves_with_no_network_and_nothing_to_write_to(
    service: Containers, measured: Measured
) -> None:
    assert transcribe(service, RECORDING) == "ten of clubs"
    base, image = service.size(BASE), service.size("asr")
    measured(f"image {image / 1e6:.0f} MB, of which its base {base / 1e6:.0f} MB")
    steps = (f"{name} {seconds:.1f} s" for name, seconds in service.seconds.items())
    measured("image built without a network, and run: " + ", ".join(steps))


def test_it_has_no_privilege(service: Containers) -> None:
    status = service.inside("service", "cat", "/proc/1/status")
    state = dict(line.split(":\t", 1) for line in status.splitlines())
    assert state["Uid"].split() == ["10001"] * 4 and state["Gid"].split() == ["10001"] * 4
    assert {int(state[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh")} == {0}
    assert (state["NoNewPrivs"], state["Seccomp"]) == ("1", "2")
    for place in ("/opt/bundle/x", "/opt/venv/x", "/etc/x", "/x"):
        service.inside("service", "touch", place, status=1)
    # What a new volume there is owned by.
    owner = service.inside("service", "stat", "--format=%u:%g", "/var/lib/asrpack")
    assert owner == "10001:10001"
    network = service.inside("service", "cat", "/proc/net/dev")
    assert network.count(":") == 1  # the loopback's alone


def test_it_holds_the_bundle_as_signed_and_nothing_to_install_with(service: Containers) -> None:
    def python(*words: str, status: int = 0) -> str:
        return service.inside("service", "python3", *words, status=status)

    assert python("-m", "asrpack.runtime", "verify", "/opt/bundle").startswith("verified")
    told = python("-m", "asrpack.runtime", "selftest", "/opt/bundle")
    assert told.startswith("ok: digits-cards 1.0.0") and "as the vendor recorded them" in told
    python("-m", "pip", "--version", status=1)
    # Compiled beforehand, as nothing can be written when it runs.
    assert python("-c", "import numpy, os; print(os.path.exists(numpy.__cached__))") == "True"


def test_its_memory_is_bounded(service: Containers) -> None:
    """The kernel ends what takes more, and the service goes on."""
    greedy = ("python3", "-c", "print(len(b'x' * (600 << 20)))")
    service.inside("service", *greedy, status=137)
    assert transcribe(service, RECORDING) == "ten of clubs"


def test_it_stops_cleanly(service: Containers) -> None:
    service("podman", "stop", "--time=30", "service", step="stop")
    assert service.inspect("service", "{{.State.ExitCode}} {{.State.OOMKilled}}") == "0 false"


def test_the_same_image_twice(
    containers: Containers, wheeled: Path, tmp_path: Path, measured: Measured
) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(wheeled, copy, copy_function=shutil.copyfile)  # other dates
    for path in (copy, *copy.rglob("*")):  # and as a umask of 077 makes it
        path.chmod(0o700 if path.is_dir() else 0o600)
    containers.build(wheeled, "first", "oci")
    containers.build(copy, "second", "oci")
    digests = {containers.digest(name) for name in ("first", "second")}
    assert len(digests) == 1
    measured(f"OCI image, twice: {digests.pop()}")


def test_its_wheels_for_arm64_run_there(
    wheeled: Path, workshop: Workshop, tmp_path: Path, measured: Measured
) -> None:
    need(*emulated.TOOLS)
    with roomy_folder(tmp_path) as folder:
        root = folder / "arm64"
        emulated.unpack_debian(root)
        emulated.install_wheels(wheeled, root / "opt/site")
        shutil.copytree(wheeled, root / "opt/bundle")
        for file in (RECORDING, workshop.keys / "acme.key", workshop.keys / "vendor.pub"):
            shutil.copy(file, root)
        paths = {"PYTHONPATH": "/opt/bundle/runtime:/opt/site", "PYTHONDONTWRITEBYTECODE": "1"}
        began = time.perf_counter()
        done = emulated.run_python(
            root, "-m", "asrpack.runtime", "transcribe", "/opt/bundle", f"/{RECORDING.name}",
            "--json", "--identity=/acme.key", "--trust=/vendor.pub", environment=paths,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["text"] == "ten of clubs"
        measured(f"arm64 under qemu, from start to text: {time.perf_counter() - began:.1f} s")
