"""From a tag of PaddleSpeech's to the directory of its model, in PaddleSpeech's own cache."""

from __future__ import annotations

import difflib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from asrpack.errors import InputError, ToolchainError

# A model is up to 1.5 GB.
_SECONDS = 4 * 3600


@dataclass(frozen=True)
class Tagged:
    """A published model on disk: its directory, and the checkpoint that the table names."""

    path: Path
    checkpoint: str


def resolve_tag(tag: str) -> Tagged:
    """Asks PaddleSpeech, in a process of its own: its import is slow and runs pip.

    Raises:
        InputError: no such tag.
        ToolchainError: PaddleSpeech is not installed, or the model cannot be fetched.
    """
    place = "model.tag"
    try:
        version("paddlespeech")
    except PackageNotFoundError:
        raise ToolchainError(
            f"PaddleSpeech is not installed, and it knows where {tag} is",
            code="tools-missing",
            place=place,
            remedy="pip install 'asrpack[paddlespeech]', or unpack the model's archive and give "
            "its directory as model.path",
        ) from None
    done = subprocess.run(
        [sys.executable, "-P", "-m", "asrpack.frontends.paddlespeech_resource", tag],
        env=os.environ
        | {"PIP_NO_INDEX": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    if done.returncode or not done.stdout:
        lines = done.stderr.strip().splitlines() or ["no output"]
        raise ToolchainError(
            f"PaddleSpeech's resource code failed: {lines[-1]}",
            code="paddlespeech-failed",
            place=place,
            remedy="run `asrpack doctor`",
        )
    found = json.loads(done.stdout.splitlines()[-1])
    if "tags" in found:
        near = difflib.get_close_matches(tag, found["tags"], n=3, cutoff=0.5)
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise InputError(
            f"PaddleSpeech has no speech recognition model {tag!r}{hint}",
            code="unknown-tag",
            place=place,
            remedy=f"name one of: {', '.join(found['tags'])}",
        )
    if "failed" in found:
        raise ToolchainError(
            f"{tag} cannot be fetched: {found['failed']}",
            code="tag-not-fetched",
            place=place,
            remedy=f"fetch {found['url']} (MD5 {found['md5']}) on another machine, and put the "
            f"archive, or what it unpacks to, into {found['folder']}",
        )
    return Tagged(Path(found["path"]), found["checkpoint"])
