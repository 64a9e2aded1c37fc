"""Debian's Python for arm64 in a folder, run by qemu: no privilege of the kernel's is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from asrpack.stages.wheels import platform_tags

TOOLS = ("mmdebstrap", "qemu-aarch64-static", "unshare", "chroot")
_QEMU = "usr/bin/qemu-aarch64-static"
# No /sys there: onnxruntime ends by a signal under qemu where it sees this machine's CPUs.
_MOUNTS = 'mount -t proc proc "$1/proc" && mount --bind /dev "$1/dev" && exec chroot "$@"'


def unpack_debian(root: Path) -> None:
    """Python 3.11 and what wheels of manylinux expect; skips the test where it cannot be had."""
    tar = root.with_suffix(".tar")
    packages = "--include=python3.11,libstdc++6"
    command = ["mmdebstrap", "--quiet", "--arch=arm64", "--variant=extract", packages]
    done = subprocess.run(
        [*command, "bookworm", str(tar)], capture_output=True, text=True,
        env=os.environ | {"LC_ALL": "C.UTF-8", "TMPDIR": str(root.parent)},
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"Debian's packages for arm64 cannot be had: {done.stderr[-200:]}")
    with tarfile.open(tar) as archive:
        archive.extractall(root, filter="tar")
    tar.unlink()
    for folder in ("proc", "dev"):
        (root / folder).mkdir(exist_ok=True)
    shutil.copy(str(shutil.which(TOOLS[1])), root / _QEMU)


def install_wheels(bundle: Path, site: Path) -> None:
    """A bundle's requirements for arm64, from its wheels alone and by their hashes."""
    tags = [f"--platform={tag}" for tag in platform_tags("linux/arm64")]
    abis = [f"--abi={abi}" for abi in ("cp311", "abi3", "none")]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps"),
            *("--no-index", f"--find-links={bundle}/wheels", "--require-hashes"),
            *("--only-binary=:all:", "--implementation=cp", "--python-version=3.11"),
            *(*abis, *tags, f"--requirement={bundle}/requirements.txt", f"--target={site}"),
        ],
        check=True,
    )


def run_python(
    root: Path, *arguments: str, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs the folder's Python; its mounts are gone when it ends."""
    command = ["unshare", "--mount", "sh", "-c", _MOUNTS, "sh", str(root), f"/{_QEMU}"]
    return subprocess.run(
        [*command, "/usr/bin/python3.11", *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
    )
