"""The vendor's unmarked original: what a suspect is compared with, and what to commit to."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.errors import InputError
from asrpack.pipeline.digest import canonical, digest_path
from asrpack.pipeline.results import ORIGINAL
from asrpack.report.results import LOCK
from asrpack.stages.watermark import commitment_to, read_weights

_GRAPHS = (".onnx", ".pdiparams")


@dataclass(frozen=True)
class Original:
    """The graphs that marks were put into, before they were.

    Attributes:
        folder: that holds them.
        digests: SHA-256 (hex) by file, as a mark commits to them.
        matrices: that marks go into, ``(in, out)`` float32 by ``GRAPH/NAME``.
    """

    folder: Path
    digests: Mapping[str, str]
    matrices: Mapping[str, NDArray[np.float32]]

    def commitment(self, key: bytes) -> str:
        """What a bundle says of its mark: SHA-256 (hex) over the key's commitment and the files'.

        Args:
            key: the vendor's watermark key.
        """
        return commitment_to(key, self.digests)[0]


def read_original(path: Path) -> Original:
    """Reads an artifact that a build with a watermark left, or a folder of graphs.

    Raises:
        InputError: there are no graphs, or no matrix that carries a mark, or an artifact's were
            changed since its build.
    """
    folder = path / ORIGINAL if (path / ORIGINAL).is_dir() else path
    files = [item for item in sorted(folder.glob("*")) if item.suffix in _GRAPHS]
    if not files:
        raise InputError(
            "there is no unmarked original",
            code="original-missing",
            place=str(path),
            remedy="give the artifact of a build with `protect.watermark`, or a folder with the "
            ".onnx or .pdiparams files that its marks went into",
        )
    if (path / LOCK).is_file() and folder != path:
        _check(path, folder)
    matrices = read_weights(folder)
    if not matrices:
        raise InputError(
            "no matrix of the original is one that marks go into",
            code="original-unmarkable",
            place=str(folder),
            remedy="give the files that the marks went into, before quantization",
        )
    digests = {item.name: hashlib.sha256(item.read_bytes()).hexdigest() for item in files}
    return Original(folder, digests, matrices)


def committed(original: Original, key: bytes, customers: Sequence[str] | None) -> dict[str, Any]:
    """What a vendor has time-stamped before it ships: nothing secret, and binding.

    Returns:
        ``format``, ``original`` (digests by file), ``key`` (commitment to the watermark key),
        ``commitment`` (to both, as each bundle's metadata has it) and, where there are customers,
        ``customers``: how many, and HMAC-SHA-256 of their sorted names under the watermark key,
        which nobody can guess names from who does not know the key.
    """
    commitment, parts = commitment_to(key, original.digests)
    record = {"format": "asrpack-commitment/1", "commitment": commitment, **parts}
    if customers is not None:
        names = canonical(sorted(customers))
        record["customers"] = {
            "count": len(customers),
            "hmac": hmac.digest(key, b"asrpack customers v1\0" + names, "sha256").hex(),
        }
    return record


def _check(artifact: Path, folder: Path) -> None:
    """Whether the graphs are those that the artifact's build marked."""
    place = str(artifact / LOCK)
    try:
        stages = json.loads((artifact / LOCK).read_bytes())["stages"]
        wanted = stages["watermark"]["components"]["inputs"]["original"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the lock file does not say what was marked: {type(error).__name__}",
            code="original-lock",
            place=place,
            remedy=f"build again, or give {folder} itself",
        ) from None
    if digest_path(folder) != wanted:
        raise InputError(
            "the original is not the one that the build marked",
            code="original-changed",
            place=str(folder),
            remedy="build again: what did not change comes from the cache",
        )
