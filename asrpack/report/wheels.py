"""The wheels in a bundle, as its documents list them."""

from __future__ import annotations

from pathlib import Path

from packaging.utils import parse_wheel_filename

from asrpack.report.origin import file_digests

FOLDER = "wheels"


def wheel_digests(folder: Path) -> dict[str, dict[str, str]]:
    """By distribution (its normal name), SHA-256 by path in the bundle of each of its wheels."""
    found: dict[str, dict[str, str]] = {}
    for path, digest in file_digests(folder, FOLDER).items():
        name = parse_wheel_filename(path.rpartition("/")[2])[0]
        found.setdefault(name, {})[path] = digest
    return found
