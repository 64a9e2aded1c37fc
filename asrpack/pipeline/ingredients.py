"""What goes into a build, then and now, and where what came out then still is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asrpack import __version__
from asrpack.bundle.keys import recipient_public, signing_public
from asrpack.pipeline.cache import LAYOUT, Cache
from asrpack.pipeline.check import Checked
from asrpack.pipeline.compose import sources
from asrpack.pipeline.digest import digest_path
from asrpack.pipeline.locked import Locked
from asrpack.pipeline.node import Node, Source, cache_key
from asrpack.pipeline.plan import SourceDigests
from asrpack.pipeline.results import ORIGINAL
from asrpack.pipeline.side import Table
from asrpack.recipe.load import LoadedRecipe
from asrpack.report.origin import ROLES
from asrpack.report.results import LOCK, other_version

Ingredients = Mapping[str, Table]
"""``sources`` (SHA-256 by role), ``tools`` (versions), ``keys`` (commitments, key ids)."""
# Outputs of which the artifact's copy has the description beside it.
_PADDLE = (("export", "paddle"), ("import", "paddle"))
# What asrpack itself brings to a bundle, by the input of the render stage that it is.
_SHIPPED = ("code", "templates")


def locked_ingredients(build: Locked) -> Ingredients:
    """What went in, by the lock.

    Raises:
        InputError: it is not as this version writes it.
    """
    try:
        recipe = build.lock["recipe"]
        components = {name: item["components"] for name, item in build.stages.items()}
        digests = {name: item["sha256"] for name, item in build.lock["sources"].items()}
        return {
            "sources": {"recipe": recipe["sha256"], **digests, **_shipped(components)},
            "tools": {
                "asrpack": recipe["asrpack"],
                "python": recipe["python"],
                **_tools(components),
            },
            "keys": _keys(components),
        }
    except (KeyError, TypeError, AttributeError):
        raise other_version(build.folder / LOCK) from None


def ingredients_now(loaded: LoadedRecipe, checked: Checked, nodes: Sequence[Node]) -> Ingredients:
    """What would go into a build now; reads the user's files and keys.

    Args:
        nodes: those to compare.
    """
    digests = SourceDigests()
    components = {
        node.name: node.components(
            {name: digests(item) for name, item in node.inputs.items() if isinstance(item, Source)}
        )
        for node in nodes
    }
    brought = {name: digests(source) for name, source in sources(loaded, checked).items()}
    return {
        "sources": {"recipe": loaded.digest, **brought, **_shipped(components)},
        "tools": {
            "asrpack": __version__,
            "python": ".".join(map(str, sys.version_info[:3])),
            **_tools(components),
        },
        "keys": _keys(components),
    }


def kept_outputs(build: Locked, stage: str, cache: Path) -> Callable[[str], Path | None]:
    """Where an output of a stage is, by its name: in the artifact, else in a cache; else None.

    Args:
        cache: its root; it need not be there.
    """
    locked = build.stages.get(stage)

    def find(output: str) -> Path | None:
        if locked is None or output not in locked["outputs"]:
            return None
        digest = locked["outputs"][output]
        for name in (output, ORIGINAL):
            if (path := build.folder / name).exists() and digest_path(path) == digest:
                return path
        if (stage, output) in _PADDLE and (build.folder / output).exists():
            return build.folder / output
        if not (cache / LAYOUT).is_dir():
            return None
        entry = Cache(cache).find(stage, cache_key(locked["components"]))
        return entry.path(output) if entry and entry.outputs.get(output) == digest else None

    return find


def _tools(components: Mapping[str, Mapping[str, Any]]) -> Table:
    """Versions of distributions, and revisions of asrpack's own stages.

    Several of one, where stages from the cache were run before an upgrade.
    """
    versions: dict[str, set[str]] = {}
    for item in components.values():
        for tool, version in item["tools"].items():
            versions.setdefault(tool, set()).add(version)
    revisions = {f"stage {name}": item["revision"] for name, item in components.items()}
    return {tool: ", ".join(sorted(found)) for tool, found in versions.items()} | revisions


def _shipped(components: Mapping[str, Mapping[str, Any]]) -> Table:
    if "render" not in components:
        return {}
    return {ROLES[name]: components["render"]["inputs"][name] for name in _SHIPPED}


def _keys(components: Mapping[str, Mapping[str, Any]]) -> Table:
    """Commitments to private keys; of recipients and signer, which are public, the ids."""
    found = {
        f"{stage}.{name}": commitment
        for stage, item in components.items()
        for name, commitment in item["secrets"].items()
    }
    if (encrypt := components.get("encrypt")) is not None:
        told = encrypt["params"]
        found["signer"] = signing_public(told["signer"].encode(), "the lock").fingerprint
        for text in told["recipients"]:
            key = recipient_public(text.encode(), "the lock")
            found[f"recipient.{key.fingerprint}"] = key.algorithm
    return found
