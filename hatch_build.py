"""Compiles what of the runtime is C for every machine that bundles run on, on any of them.

Zig's C compiler brings the headers and stubs of each target's glibc, so one machine builds all
libraries, and the same source gives the same bytes. Hatch runs this for every wheel and editable
install; ``python hatch_build.py`` runs it alone.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MACHINES = ("x86_64", "aarch64")
GLIBC = "2.17"  # of manylinux2014, the oldest that the other packages run on
# -ffp-contract=off: a fused multiply-add would be another last bit than Python's.
OPTIONS = ("-std=c99", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-s", "-g0")
RUNTIME = Path(__file__).parent / "asrpack" / "runtime"
SOURCES = (RUNTIME / "decoding" / "prefix_beam.c", RUNTIME / "engine_hooks.c")


def compile_libraries(source: Path) -> list[Path]:
    """Compiles ``NAME.c`` to ``NAME-<machine>.so`` beside it."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    libraries = []
    for machine in MACHINES:
        library = source.with_name(f"{source.stem}-{machine}.so")
        command = [sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-linux-gnu.{GLIBC}"]
        command += [*OPTIONS, f'-DSOURCE_DIGEST="{digest}"', "-o", library.name, source.name, "-lm"]
        subprocess.run(command, cwd=source.parent, check=True)
        libraries.append(library)
    return libraries


class CompileHook(BuildHookInterface):  # type: ignore[misc]
    """What Hatch calls."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles before the wheel is packed; the libraries are ignored by git, so named here."""
        root = Path(self.root)
        build_data["artifacts"] += [
            f"/{library.relative_to(root)}"
            for source in SOURCES
            for library in compile_libraries(source)
        ]


if __name__ == "__main__":
    for each in SOURCES:
        compile_libraries(each)
