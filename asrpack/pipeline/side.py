"""One side of a comparison: a bundle, or the folder that a build left, as flat tables."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrpack.bundle.contents import read_contents
from asrpack.bundle.envelope import ENVELOPE_FILE
from asrpack.bundle.verify import (
    MAX_JSON,
    METADATA_FILE,
    hash_beneath,
    open_directory,
    read_beneath,
)
from asrpack.errors import AsrpackError, ErrorGroup, InputError, KeyFileError
from asrpack.pipeline.digest import digest_file
from asrpack.report.results import CUSTOMERS, LOCK, REJECTED, read_results

if TYPE_CHECKING:
    from asrpack.bundle.keys import Key
    from asrpack.graph.pir.program import Buffer

PROVENANCE, BOM = "provenance.intoto.json", "sbom.cdx.json"
MAX_DOCUMENT = MAX_JSON
# What of an evaluation is figures.
_MEASURED = ("set", "methods", "size", "timing", "memory", "cold_start", "targets", "paddlespeech")
# Whose parameters are told elsewhere: recipients and signer as keys, the recipe as itself.
_PACKING = ("encrypt", "render", "seal")
# What in an artifact is not of the build that its lock tells of.
_ASIDE = (".lock", "logs", REJECTED, CUSTOMERS)

Table = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """What can be compared; each table's keys are paths such as ``builds.cpu.precision``.

    Attributes:
        kind: ``bundle`` or ``artifact``.
        folder: what was given.
        bundle: the bundle's folder; None for a rejected artifact.
        title: name, version and build.
    """

    kind: str
    folder: Path
    bundle: Path | None
    title: str
    recipe: Table
    sources: Table
    tools: Table
    stages: Table
    outputs: Table
    packages: Table
    metadata: Table
    keys: Table
    figures: Table
    files: Table = field(repr=False)


def read_side(folder: Path) -> Side:
    """Reads a bundle, or an artifact or its ``rejected``. Verifies no signature.

    Raises:
        InputError: it is neither, or a file of it cannot be read.
        IntegrityError: a bundle's metadata or envelope is damaged.
    """
    if (folder / METADATA_FILE).is_file():
        return _bundle(folder)
    if (folder / LOCK).is_file():
        return _artifact(folder)
    raise InputError(
        "this is neither a bundle nor what a build left" if folder.exists() else "is not there",
        code="diff-input",
        place=str(folder),
        remedy=f"give a folder with {METADATA_FILE} or {LOCK} in it",
    )


@contextlib.contextmanager
def opened_graphs(
    side: Side, identities: Sequence[Key], licence: Path | None = None
) -> Iterator[Mapping[str, Buffer]]:
    """The graphs' files by name: those that ship where an identity opens them, else an artifact's.

    Empty where there are none that can be opened.

    Args:
        identities: tried in turn.
        licence: as for :class:`asrpack.runtime.licence.Lease`, where the envelope has no keys for
            an identity. What this host remembers of licences stays as it is.

    Raises:
        KeyFileError, ErrorGroup: no identity opens the bundle.
        IntegrityError, ErrorGroup: the bundle is damaged.
    """
    from asrpack.graph.stored import mapped

    if side.bundle is not None and identities:
        yield _unsealed(side.bundle, identities, licence)
        return
    for name in ("onnx", "paddle"):
        if side.kind == "artifact" and (side.folder / name).is_dir():
            with mapped(side.folder / name) as files:
                yield files
            return
    yield {}


def flat(value: Any, prefix: str = "") -> Table:
    """Nested data as one table; empty containers are kept as they are."""
    if isinstance(value, Mapping):
        items = [(str(name), item) for name, item in value.items()]
    elif isinstance(value, list):
        items = [(str(number), item) for number, item in enumerate(value)]
    else:
        return {prefix: value}
    if not items:
        return {prefix: value} if prefix else {}
    found: Table = {}
    for name, item in items:
        found |= flat(item, f"{prefix}.{name}" if prefix else name)
    return found


def _unsealed(
    bundle: Path, identities: Sequence[Key], licence: Path | None
) -> Mapping[str, Buffer]:
    from asrpack.bundle.opening import open_sealed
    from asrpack.runtime.licence import Lease
    from asrpack.runtime.load import warn_on_stderr

    refused: AsrpackError | None = None
    for identity in identities:
        lease = Lease(licence, bundle, warn_on_stderr, remember=False)
        try:
            opened = open_sealed(bundle, identity, unlock=lease.unlock)
            return {name: content.view for name, content in opened.files.items()}
        except (KeyFileError, ErrorGroup) as error:
            refused = error
    assert refused is not None
    if refused.place == ENVELOPE_FILE:
        refused.place = str(bundle / ENVELOPE_FILE)
    raise refused


def _artifact(folder: Path) -> Side:
    results = read_results(folder)
    lock = results.lock
    recipe = lock["recipe"]
    bundle = folder / "bundle" if (folder / "bundle" / METADATA_FILE).is_file() else None
    contents = read_contents(bundle) if bundle else None
    stages = {name: record["components"] for name, record in lock["stages"].items()}
    told = {name: item for name, item in stages.items() if name not in _PACKING}
    secrets = {
        f"commitment.{name}.{key}": value
        for name, item in stages.items()
        for key, value in item["secrets"].items()
    }
    return Side(
        kind="artifact",
        folder=folder,
        bundle=bundle,
        title=title_of(recipe),
        recipe=flat(recipe.get("content", {})),
        sources={
            "recipe": recipe["sha256"],
            **{name: item["sha256"] for name, item in lock["sources"].items()},
        },
        tools={
            "asrpack": recipe["asrpack"],
            "python": recipe["python"],
            **{n: v for item in stages.values() for n, v in item["tools"].items()},
        },
        stages=flat({n: {"revision": i["revision"], **i["params"]} for n, i in told.items()}),
        outputs=flat({name: record["outputs"] for name, record in lock["stages"].items()}),
        packages=_packages(bundle) if bundle else {},
        metadata=_metadata(contents) if contents else {},
        keys=secrets | (_keys(contents) if contents else {}),
        figures=_figures(results.evaluation),
        files={
            path.relative_to(folder).as_posix(): digest_file(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.relative_to(folder).parts[0] not in _ASIDE
        },
    )


def _bundle(folder: Path) -> Side:
    contents = read_contents(folder)
    try:
        told = _provenance(folder)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _odd(folder / PROVENANCE, error) from None
    with open_directory(folder) as top:
        files = {item["path"]: hash_beneath(top, item["path"]) for item in contents["files"]}
    return Side(
        kind="bundle",
        folder=folder,
        bundle=folder,
        title=title_of(contents["metadata"]),
        **told,
        packages=_packages(folder),
        metadata=_metadata(contents),
        keys=_keys(contents),
        figures=_figures(contents["evaluation"] or {}),
        files=files,
    )


def _provenance(bundle: Path) -> dict[str, Table]:
    """Recipe, sources, tools and stages as an ML bundle's provenance tells them."""
    definition = _document(bundle, PROVENANCE)["predicate"]["buildDefinition"]
    sources: Table = {}
    tools: Table = {}
    for item in definition["resolvedDependencies"]:
        if "uri" in item:
            tools[item["name"]] = item["uri"].rpartition("@")[2]
        elif "/" not in item["name"]:
            (sources[item["name"]],) = item["digest"].values()
    stages = definition.get("internalParameters", {}).get("stages", [])
    return {
        "recipe": flat(definition["externalParameters"].get("recipe", {})),
        "sources": sources,
        "tools": tools,
        "stages": flat(
            {
                item["name"]: {"revision": item["revision"], **item.get("parameters", {})}
                for item in stages
            }
        ),
        "outputs": flat({item["name"]: item["outputs"] for item in stages}),
    }


def _packages(bundle: Path) -> Table:
    try:
        parts = _document(bundle, BOM)["components"]
        return {p["name"]: p["version"] for p in parts if p["type"] == "library"}
    except (KeyError, TypeError) as error:
        raise _odd(bundle / BOM, error) from None


def _document(bundle: Path, name: str) -> Any:
    try:
        return json.loads(read_beneath(bundle, name, MAX_DOCUMENT))
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}",
            code="diff-input",
            place=str(bundle / name),
            remedy="see what `asrpack verify` says of this bundle",
        ) from None
    except (ValueError, RecursionError) as error:
        raise _odd(bundle / name, error) from None


def _odd(path: Path, error: Exception) -> InputError:
    return InputError(
        f"is not as asrpack writes it: {type(error).__name__}: {error}",
        code="diff-input",
        place=str(path),
        remedy="see what `asrpack verify` says of this bundle",
    )


def title_of(about: Mapping[str, Any]) -> str:
    """Name, version and build, as a lock and a bundle's metadata tell them."""
    return f"{about['name']} {about['version']}, build {about['build']}"


def _metadata(contents: Mapping[str, Any]) -> Table:
    apart = ("files", "recipients")
    return flat({n: v for n, v in contents["metadata"].items() if n not in apart})


def _keys(contents: Mapping[str, Any]) -> Table:
    recipients = {f"recipient.{item['kid']}": item["kem"] for item in contents["recipients"]}
    return {"signer": contents["signer"], **recipients}


def _figures(evaluation: Mapping[str, Any]) -> Table:
    return flat({name: evaluation[name] for name in _MEASURED if name in evaluation})
