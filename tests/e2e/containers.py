"""buildah and podman, with runc and a store of their own; no daemon, no registry, no network.

What Debian 12 has of them works as root, in a container too, with these settings.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

TOOLS = ("buildah", "podman", "runc", "mmdebstrap")
BASE = "docker.io/library/python:3.11-slim-bookworm"
EPOCH = "1700000000"
HEALTHY_WITHIN = 120
ROOM = 6 << 30
_RUNC = "/usr/sbin/runc"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# As the bundle's documentation advises.
HARDENED = (
    *("--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *("--memory=512m", "--pids-limit=64"),
)
_CONTAINERS = f"""
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "{_RUNC}"
"""


def need(*tools: str) -> None:
    """Skips the test where one is not installed, or this is not root."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"not installed: {', '.join(missing)}" if missing else "not root")


@contextmanager
def roomy_folder(otherwise: Path) -> Iterator[Path]:
    """For gigabytes that are gone at once: in memory where there is room, which is a
    third faster.

    Args:
        otherwise: an empty folder on a disk.
    """
    memory = Path("/dev/shm")
    room = os.statvfs(memory) if memory.is_dir() else None
    if room and not room.f_flag & os.ST_NOEXEC and room.f_bavail * room.f_frsize > ROOM:
        with TemporaryDirectory(prefix="asrpack-", dir=memory) as folder:
            Path(folder).chmod(0o755)  # apt reads there as another user
            yield Path(folder)
        return
    yield otherwise


@dataclass
class Containers:
    """The tools with a store below ``folder``; ``seconds`` has what each named step took."""

    folder: Path
    seconds: dict[str, float]

    @classmethod
    def below(cls, folder: Path) -> Containers:
        (folder / "containers.conf").write_text(_CONTAINERS)
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\n'
            f'graphroot = "{folder}/store"\nrunroot = "{folder}/run"\n'
        )
        return cls(folder, {})

    def __call__(
        self, *command: str, step: str | None = None, status: int | None = 0, **more: str
    ) -> str:
        """Runs a command; its standard output.

        Args:
            step: under which its seconds are kept.
            status: that it must end with; None: any.
            more: variables of its environment.
        """
        environment = os.environ | {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "LC_ALL": "C.UTF-8",  # mmdebstrap's Perl warns of others that are not there
            **more,
        }
        began = time.perf_counter()
        # conmon leaves a file where it was started once the kernel ended something.
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        if step is not None:
            self.seconds[step] = time.perf_counter() - began
        shown = f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert status is None or done.returncode == status, shown
        return done.stdout.strip()

    def make_base(self) -> None:
        """Debian's own Python under the name of the Dockerfile's base image.

        Skips the test where Debian's packages cannot be reached.
        """
        tar = self.folder / "base.tar"
        packages = "python3,python3-venv,ca-certificates"
        command = ("mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}")
        fast = ("--dpkgopt=force-unsafe-io", "bookworm", str(tar))
        same = {"SOURCE_DATE_EPOCH": EPOCH, "TMPDIR": str(self.folder)}
        self(*command, *fast, step="base", status=None, **same)
        if not tar.is_file() or not tar.stat().st_size:
            pytest.skip("Debian's packages cannot be reached")
        name = self("buildah", "from", "scratch")
        self("buildah", "add", "--quiet", name, str(tar), "/", step="import")
        self("buildah", "config", f"--env=PATH={_PATH}", "--cmd=python3", name)
        self("buildah", "commit", "--quiet", "--rm", f"--timestamp={EPOCH}", name, BASE)
        tar.unlink()

    def build(self, folder: Path, name: str, form: str) -> None:
        """The image of a folder's Dockerfile, as ``docker`` or ``oci``, without a network."""
        command = ("buildah", "bud", "--isolation=oci", f"--runtime={_RUNC}", "--network=none")
        same = (f"--timestamp={EPOCH}", "--identity-label=false", "--pull-never", "--no-cache")
        self(*command, *same, f"--format={form}", f"--tag={name}", str(folder), step=name)

    def digest(self, name: str) -> str:
        return self("podman", "image", "inspect", "--format={{.Digest}}", name)

    def size(self, name: str) -> int:
        """Bytes of all layers."""
        return int(self("podman", "image", "inspect", "--format={{.Size}}", name))

    def start(self, image: str, name: str, *options: str) -> None:
        """Starts an image's own command, hardened, and waits until its health check passes."""
        began = time.perf_counter()
        self("podman", "run", "--detach", f"--name={name}", *HARDENED, *options, image)
        while time.perf_counter() - began < HEALTHY_WITHIN:
            # Nothing runs the checks here, where systemd does elsewhere.
            if self("podman", "healthcheck", "run", name, status=None) != "unhealthy" and (
                self.inspect(name, "{{.State.Health.Status}}") == "healthy"
            ):
                self.seconds["healthy"] = time.perf_counter() - began
                return
            time.sleep(0.2)
        logs = self("podman", "logs", name, status=None)
        raise AssertionError(f"{name} is not healthy after {HEALTHY_WITHIN} s\n{logs}")

    def inspect(self, name: str, form: str) -> str:
        """What a container is, by a template of Go's."""
        return self("podman", "container", "inspect", f"--format={form}", name)

    def inside(self, name: str, *command: str, status: int | None = 0) -> str:
        """What a command in a running container prints.

        Not a container for each: podman 4.3 waits 20 s for one that ends at once.
        """
        return self("podman", "exec", name, *command, status=status)

    def clean(self) -> None:
        """Nothing stays mounted, so that the folder can be removed."""
        self("podman", "rm", "--all", "--force", "--time=0", status=None)
        self("buildah", "rm", "--all", status=None)
        self("umount", str(self.folder / "store/overlay"), status=None)
