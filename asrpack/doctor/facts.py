"""What the checks look at, gathered once and without a heavy import."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import platformdirs

from asrpack.runtime.cpu import cpu_flags
from asrpack.runtime.providers import NAMES, installed_runtime


@dataclass(frozen=True)
class Folder:
    """A folder that asrpack writes to. ``free`` in bytes; ``writable`` of its nearest parent."""

    use: str
    path: Path
    free: int
    writable: bool


@dataclass(frozen=True)
class Facts:
    """A machine and its packages.

    Attributes:
        versions: of installed distributions, by normalized name.
        requirements: of asrpack itself, as its metadata has them.
        memory: bytes that can be had now, or None where the system does not tell.
        gpu_driver: version of the NVIDIA driver that is loaded, or None.
        gpus: what nvidia-smi lists, a line each.
        provider_faults: why ONNX Runtime's provider of a target does not work, None where it does;
            empty where the onnxruntime that is installed has none for GPUs.
    """

    python: tuple[int, int]
    machine: str
    cpu_flags: frozenset[str]
    cores: int
    memory: int | None
    gpu_driver: str | None
    gpus: tuple[str, ...]
    provider_faults: Mapping[str, str | None]
    versions: Mapping[str, str]
    requirements: tuple[str, ...]
    environ: Mapping[str, str]
    folders: tuple[Folder, ...]


def gather(artifacts: Path) -> Facts:
    """The facts of this machine.

    Args:
        artifacts: where builds would be written.
    """
    # As the build's cache has it; that module needs the build extra, and this one must not.
    cache = os.environ.get("ASRPACK_CACHE") or platformdirs.user_cache_dir("asrpack")
    return Facts(
        python=sys.version_info[:2],
        machine=platform.machine(),
        cpu_flags=cpu_flags(),
        cores=_cores(),
        memory=_memory(),
        gpu_driver=_gpu_driver(),
        gpus=_gpus(),
        provider_faults=_provider_faults(),
        versions=_versions(),
        requirements=tuple(metadata.requires("asrpack") or ()),
        environ=dict(os.environ),
        folders=(
            _folder("cache", Path(cache)),
            _folder("artifacts", artifacts.absolute()),
            _folder("temporary files", Path(tempfile.gettempdir())),
        ),
    )


def _gpu_driver() -> str | None:
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"\b[0-9]+\.[0-9.]+\b", text)
    return found[0] if found else "of an unknown version"


def _gpus() -> tuple[str, ...]:
    """Empty too where nvidia-smi is not there, as in containers without the NVIDIA runtime."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())


def _provider_faults() -> dict[str, str | None]:
    runtime = installed_runtime()
    if runtime is None or runtime[0] == "onnxruntime":
        return {}
    # Here: it imports onnxruntime.
    from asrpack.runtime.provider_probe import provider_fault

    return {target: provider_fault(target) for target in NAMES}


def _versions() -> dict[str, str]:
    return {
        normalized(name): dist.version
        for dist in metadata.distributions()
        if (name := dist.metadata["Name"])
    }


def normalized(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return name.lower().replace("_", "-").replace(".", "-")


def _cores() -> int:
    # What this process may use, which a container limits; other systems know no such thing.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _memory() -> int | None:
    """The least of what the system has and what the container may still take."""
    found: list[int] = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    except (OSError, ValueError):
        pass
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        found.append(limit - int((group / "memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError):  # no such limit, or the word "max"
        pass
    return max(0, min(found)) if found else None


def _folder(use: str, path: Path) -> Folder:
    """Looks at the nearest parent that is there: the folder may not have been made yet."""
    there = next(item for item in (path, *path.parents) if item.exists())
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return Folder(use, path, shutil.disk_usage(there).free, writable)
