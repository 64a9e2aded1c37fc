"""wheels: the runtime's requirements as files, for hosts that reach no package index."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from asrpack.errors import ToolchainError
from asrpack.report.images import GLIBC_MINOR
from asrpack.stages import stage

MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
# Tags of before PEP 600, each with the minor version of glibc that it stands for.
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


class WheelsParams(stage.Params):
    """All that the wheels are chosen by.

    Attributes:
        requirements: each with its exact version, what they require in turn among them.
        platforms: as the recipe has them.
        python: of the image, e.g. ``3.11``.
    """

    requirements: tuple[str, ...]
    platforms: tuple[str, ...]
    python: str


class Wheels(stage.Stage):
    """Leaves ``wheels/``: a wheel of each requirement for each platform.

    By pip and from the index that it is configured for: a vendor's mirror serves as it does for
    any install.
    """

    name = "wheels"
    outputs = ("wheels",)
    tools = ("pip",)
    Params: ClassVar[type[stage.Params]] = WheelsParams

    def run(
        self, params: WheelsParams, inputs: Mapping[str, Path], out: Path, context: stage.Context
    ) -> None:
        """Raises ToolchainError where the index cannot be reached, or has no such wheel."""
        for done, platform in enumerate(params.platforms):
            context.progress(done, len(params.platforms), platform)
            _download(params, platform, out / "wheels")


def _download(params: WheelsParams, platform: str, folder: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        # Source distributions would be built for this machine; what is required is in the list.
        *("--only-binary=:all:", "--no-deps", "--retries=1", f"--dest={folder}"),
        *("--implementation=cp", f"--python-version={params.python}"),
        *(f"--abi={abi}" for abi in (f"cp{params.python.replace('.', '')}", "abi3", "none")),
        # All of them, the newest first: pip takes a lone tag literally, and so older releases.
        *(f"--platform={tag}" for tag in platform_tags(platform)),
        *params.requirements,
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode == 0:
        return
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    raise ToolchainError(
        f"pip cannot get the wheels for {platform} and Python {params.python}: "
        + (errors[-1].removeprefix("ERROR: ") if errors else f"exit code {done.returncode}"),
        code="wheels-missing",
        place="stage wheels",
        remedy="let pip reach an index that has them (`pip config set global.index-url …` or "
        "PIP_INDEX_URL), or take the platform out of `bundle.wheels`",
    )


def platform_tags(platform: str) -> Iterator[str]:
    """The tags of wheels that run on a platform's image, the newest glibc first."""
    machine = MACHINES[platform]
    for minor in range(GLIBC_MINOR, 4, -1):
        yield f"manylinux_2_{minor}_{machine}"
        # Only the first of them was ever for other machines than Intel's.
        if minor in _LEGACY and (minor == 17 or machine == "x86_64"):
            yield f"{_LEGACY[minor]}_{machine}"
