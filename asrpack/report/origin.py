"""How a bundle came about: what its bill of materials and its provenance have in common."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

# Name of the digest of several files: SHA-256 of the canonical JSON of their sorted
# [name, SHA-256] pairs, as asrpack.lock has it. See docs/provenance.md.
LISTING = "asrpackListing"
# What the user brings, by the input of the render stage that it is.
ROLES = {
    "source": "model",
    "tokens": "tokens",
    "manifest": "test",
    "calibration": "calibration",
    "language_model": "language_model",
    "templates": "templates",
    "code": "runtime",
}


@dataclass(frozen=True)
class Origin:
    """What is told of a bundle's making. No key, no customer, no path of the vendor's disk.

    Attributes:
        bundle_id: of the envelope.
        created: Unix seconds.
        recipe: ``file``, ``sha256`` and ``content`` (:mod:`asrpack.recipe.content`).
        stages: of each stage before encryption, in order: ``name``, ``key``, ``revision``,
            ``params``, ``inputs``, ``tools``, ``outputs``.
        sources: digest by role, as ``asrpack.lock`` has it.
        files: SHA-256 by ``role/name`` of single files among the sources.
    """

    name: str
    version: str
    build: str
    bundle_id: str
    created: int
    recipe: Mapping[str, Any]
    stages: tuple[Mapping[str, Any], ...]
    sources: Mapping[str, str]
    files: Mapping[str, str]

    def digest(self, role: str) -> dict[str, str]:
        """A source's digest by the name of its algorithm."""
        alone = [digest for name, digest in self.files.items() if name.startswith(f"{role}/")]
        digest = self.sources[role]
        return {"sha256" if alone == [digest] else LISTING: digest}

    def said(self, role: str) -> dict[str, str]:
        """What the recipe says of a source: ``path``, ``name``, ``url``, ``license``."""
        content = self.recipe["content"]
        if role == "model":
            model = content["model"]
            found = {"path": model.get("tag") or model["path"], "license": model.get("license")}
        else:
            data = content["data"].get(role, {})
            found = {name: data.get(name) for name in ("name", "url", "license")}
            found["path"] = data.get("manifest")
        return {name: value for name, value in found.items() if value}

    def tools(self) -> dict[str, str]:
        """Version by distribution of all that took part before encryption."""
        return {
            name: version
            for stage in self.stages
            for name, version in (_tool(*item) for item in sorted(stage["tools"].items()))
        }


def read_records(path: Path) -> tuple[tuple[Mapping[str, Any], ...], dict[str, str]]:
    """``stages`` and ``sources`` of :class:`Origin`, from the pipeline's records."""
    records = json.loads(path.read_bytes())
    sources = {ROLES[name]: digest for name, digest in records["sources"].items()}
    return tuple(records["stages"]), sources


def file_digests(root: Path, prefix: str) -> dict[str, str]:
    """SHA-256 by ``prefix/relative-name`` of all files below ``root`` (or of the file itself)."""
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    result = {}
    for path in files:
        inner = path.name if path == root else path.relative_to(root).as_posix()
        with path.open("rb") as stream:
            result[f"{prefix}/{inner}"] = hashlib.file_digest(stream, "sha256").hexdigest()
    return result


def package_url(name: str, version: str) -> str:
    """The purl of a Python distribution."""
    normal = re.sub(r"[-_.]+", "-", name).lower()
    return f"pkg:pypi/{normal}@{quote(version, safe='')}"


def timestamp(seconds: int) -> str:
    """RFC 3339, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def datasets(origin: Origin) -> Iterator[str]:
    """The roles of the sets of recordings that took part."""
    return (role for role in ("test", "calibration") if role in origin.sources)


def _tool(name: str, version: str) -> tuple[str, str]:
    """A module's version may name the distribution that it is of: ``1.31.1 (onnxruntime-gpu)``."""
    number, _, other = version.partition(" (")
    return (other.removesuffix(")") or name), number
