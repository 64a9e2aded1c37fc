"""What a build leaves beside the bundle: what was measured, the verdict, the lock, the report.

A rejected candidate's are in ``rejected/``, an accepted one's in the artifact itself.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrpack import __version__
from asrpack.bundle.model import ModelDescription
from asrpack.pipeline.artifact import Artifact
from asrpack.pipeline.cache import Entry
from asrpack.pipeline.check import Checked
from asrpack.pipeline.compose import sources
from asrpack.pipeline.plan import SourceDigests
from asrpack.recipe.content import recipe_content, shown_path
from asrpack.recipe.load import LoadedRecipe
from asrpack.report.html import REPORT, render_report
from asrpack.report.results import EVALUATION, GATE, LOCK, RECIPE, REJECTED, SEARCH
from asrpack.stages.quantize import KEPT

LOCK_FORMAT = 2
# The graphs before marks went into them: without these nobody finds out who leaked a copy.
ORIGINAL = "original"


def lock_record(
    loaded: LoadedRecipe,
    checked: Checked,
    build: str,
    digests: SourceDigests,
    artifact: Path,
    entries: Mapping[str, Entry],
) -> dict[str, Any]:
    """``asrpack.lock``: digests of all that went in and came out; keys as commitments.

    Args:
        artifact: the build's folder, to which the recipe's is told relative.
    """
    recipe = loaded.recipe
    variant = recipe.builds[build]
    model = ModelDescription.read(entries["configure"].path("model.json"))
    said = {"test": checked.test, "calibration": checked.calibration}
    return {
        "format": LOCK_FORMAT,
        "recipe": {
            "name": recipe.name,
            "version": recipe.version,
            "build": build,
            "target": variant.target,
            "precision": variant.precision,
            "file": loaded.path.name,
            "sha256": loaded.digest,
            "folder": os.path.relpath(loaded.folder, artifact.absolute()),
            "overrides": list(loaded.overrides),
            "content": recipe_content(loaded, build),
            "asrpack": __version__,
            "python": ".".join(map(str, sys.version_info[:3])),
        },
        "model": {
            "family": model.family,
            "sample_rate": model.sample_rate,
            "vocabulary_size": len(model.tokens),
            "chunk_size": model.streaming and model.streaming.chunk_size,
        },
        "sources": {
            name: {
                "name": shown_path(source.path, loaded.folder),
                "sha256": digests(source),
                **({"recordings": len(said[name])} if name in said else {}),
            }
            for name, source in sources(loaded, checked).items()
        },
        "stages": {
            name: {"components": entry.components, "outputs": entry.outputs}
            for name, entry in entries.items()
        },
    }


def place_accepted(
    artifact: Artifact, lock: Mapping[str, Any], recipe: bytes, entries: Mapping[str, Entry]
) -> None:
    """Places the results of a candidate that met its gate.

    Args:
        recipe: the recipe file's bytes, of which a copy is kept.
    """
    _place(artifact, lock, recipe, entries, "")


def place_rejected(
    artifact: Artifact, lock: Mapping[str, Any], recipe: bytes, entries: Mapping[str, Entry]
) -> Path:
    """Places the candidate that did not meet its gate, and its results; gives their folder.

    What an earlier, accepted build left must not pass for this one's.
    """
    for name in ("bundle", REPORT, EVALUATION, GATE, KEPT, SEARCH, RECIPE):
        artifact.discard(name)
    (artifact.folder / REJECTED).mkdir(exist_ok=True)
    candidate = entries.get("watermark", entries["quantize"])
    kind = "paddle" if "paddle" in candidate.outputs else "onnx"
    artifact.place(candidate.path(kind), f"{REJECTED}/{kind}")
    _place(artifact, lock, recipe, entries, f"{REJECTED}/")
    return artifact.folder / REJECTED


def _place(
    artifact: Artifact,
    lock: Mapping[str, Any],
    recipe: bytes,
    entries: Mapping[str, Entry],
    prefix: str,
) -> None:
    artifact.place(entries["evaluate"].path(EVALUATION), f"{prefix}{EVALUATION}")
    artifact.place(entries["gate"].path(GATE), f"{prefix}{GATE}")
    # What fp16 does not hold, and what a search found: where the recipe asked for it.
    for name in (KEPT, SEARCH):
        artifact.discard(f"{prefix}{name}")
        for entry in entries.values():
            if name in entry.outputs:
                artifact.place(entry.path(name), f"{prefix}{name}")
    artifact.write(f"{prefix}{RECIPE}", recipe.decode("utf-8"))
    artifact.write(f"{prefix}{LOCK}", json.dumps(lock, indent=1, sort_keys=True) + "\n")
    artifact.write(f"{prefix}{REPORT}", render_report(artifact.folder / prefix))


def place_original(artifact: Artifact, entries: Mapping[str, Entry]) -> None:
    """Keeps what the customer's mark went into, where one did."""
    if "watermark" not in entries:
        artifact.discard(ORIGINAL)
        return
    wanted = entries["watermark"].components["inputs"]["original"]
    for entry in entries.values():
        for name, digest in entry.outputs.items():
            if digest == wanted:
                artifact.place(entry.path(name), ORIGINAL)
                return
