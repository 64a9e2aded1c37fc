"""``rebuild``: an artifact's build once more, from its lock, and what came out otherwise."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrpack.bundle.verify import METADATA_FILE, SIGNATURE_FILE
from asrpack.errors import GateError, InputError
from asrpack.pipeline.build import Request, run_builds
from asrpack.pipeline.cache import default_root
from asrpack.pipeline.check import check_recipe
from asrpack.pipeline.compare import Change, changes, compare
from asrpack.pipeline.compose import compose
from asrpack.pipeline.events import Event, Listener
from asrpack.pipeline.ingredients import ingredients_now, kept_outputs, locked_ingredients
from asrpack.pipeline.locked import Locked, read_locked
from asrpack.pipeline.node import Node
from asrpack.pipeline.plan import upto
from asrpack.pipeline.side import BOM, PROVENANCE, title_of
from asrpack.pipeline.stage_outcome import Outcome, outcome
from asrpack.report.results import EVALUATION, LOCK, REJECTED

if TYPE_CHECKING:
    from asrpack.bundle.keys import Key
    from asrpack.graph.differences import TensorDifferences

# Of two bundles of one build, what differs whatever goes in, and what says so.
_FRESH_METADATA = ("bundle_id", "created", "sequence")
_FRESH_FILES = (SIGNATURE_FILE, METADATA_FILE, EVALUATION, PROVENANCE, BOM, "README.md")
_ENCRYPTED = "model/"
# Sections of a comparison that stages and ingredients do not tell already.
_OF_BUNDLE = ("packages", "metadata", "keys", "files")


@dataclass(frozen=True)
class Rebuilt:
    """What differs.

    Attributes:
        ingredients: by ``sources``, ``tools`` and ``keys``.
        stages: in order; None in a dry run.
        bundle: by ``packages``, ``metadata``, ``keys`` and ``files``, without what is fresh in
            every bundle; None where one of the two builds has none.
        tensors: of what ships, where an identity opened both.
    """

    build: Locked
    ingredients: Mapping[str, tuple[Change, ...]]
    stages: tuple[Outcome, ...] | None = None
    bundle: Mapping[str, tuple[Change, ...]] | None = None
    tensors: TensorDifferences | None = None

    @property
    def title(self) -> str:
        """Name, version and build."""
        return title_of(self.build.lock["recipe"])

    @property
    def same(self) -> bool:
        """Whether the results are the same but for what is fresh; of a dry run, the ingredients.

        Another tool that gives the same results is no difference of them.
        """
        if self.stages is None:
            return not any(self.ingredients.values())
        return not (
            any(item.state == "differs" for item in self.stages)
            or any((self.bundle or {}).values())
            or (self.tensors is not None and not self.tensors.same)
        )

    def as_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""

        def shown(table: Mapping[str, Sequence[Change]]) -> dict[str, Any]:
            return {name: [item.as_dict() for item in found] for name, found in table.items()}

        return {
            "artifact": str(self.build.folder),
            "title": self.title,
            "dry_run": self.stages is None,
            "same": self.same,
            **shown(self.ingredients),
            "stages": [item.as_dict() for item in self.stages or ()],
            "bundle": None if self.bundle is None else shown(self.bundle),
            "tensors": None if self.tensors is None else self.tensors.as_dict(),
        }


def rebuild(
    artifact: Path,
    listen: Listener,
    *,
    folder: Path | None = None,
    cache: Path | None = None,
    identities: Sequence[Key] = (),
    dry_run: bool = False,
) -> Rebuilt:
    """Builds again in a temporary folder, and compares. The artifact stays as it is.

    Args:
        artifact: what a build left, or its ``rejected``.
        folder: where what the recipe names is now; None for where it was.
        cache: of the stages; kept, and what is in it is taken from it. None for a fresh one.
        identities: private keys of recipients, to compare the tensors that ship, too.
        dry_run: look at what would go in, and build nothing.

    Raises:
        AsrpackError: as a build does; something that went in is missing.
    """
    build = read_locked(artifact, folder=folder)
    then, loaded = locked_ingredients(build), build.loaded
    if not loaded.folder.is_dir():
        raise InputError(
            "the recipe's folder is not there",
            code="rebuild-folder",
            place=str(loaded.folder),
            remedy="say with --folder where what the recipe names is now",
        )
    checked = check_recipe(loaded)
    nodes = compose(loaded, checked, build.build)
    if "seal" not in build.stages:
        nodes = upto(nodes, "gate")
    now = ingredients_now(loaded, checked, nodes)
    found = Rebuilt(build, {name: changes(then[name], now[name]) for name in then})
    if dry_run:
        return found
    with _again(build, cache, listen) as (other, root, taken):
        stages = _stages(nodes, build, other, root, taken)
        found = replace(found, stages=stages)
        bundles = [item.folder / "bundle" for item in (build, other)]
        if not all((bundle / METADATA_FILE).is_file() for bundle in bundles):
            return found
        compared = compare(bundles[0], bundles[1], identities)
        bundle = {name: _lasting(name, compared.sections[name]) for name in _OF_BUNDLE}
        return replace(found, bundle=bundle, tensors=compared.tensors)


@contextmanager
def _again(
    build: Locked, cache: Path | None, listen: Listener
) -> Iterator[tuple[Locked, Path, set[str]]]:
    """The second build's artifact, the root of its cache, and the stages that it took from it."""
    taken: set[str] = set()

    def hear(event: Event) -> None:
        if event.kind == "cached":
            taken.add(event.stage)
        if event.kind != "result":
            listen(event)

    with tempfile.TemporaryDirectory(prefix="asrpack-rebuild-") as name:
        work = Path(name)
        # Under its own name, which the bundle's documents tell.
        recipe = work / Path(build.lock["recipe"]["file"]).name
        recipe.write_bytes(build.loaded.data)
        root = cache or work / "cache"
        request = Request(
            recipe,
            build.build,
            work / "artifacts",
            build.loaded.overrides,
            folder=build.loaded.folder,
            cache=root,
        )
        rejected = ""
        try:
            run_builds(request, hear)
        except GateError:
            rejected = REJECTED
        (lock,) = request.out.glob(f"*/{rejected}/{LOCK}")
        yield read_locked(lock.parent, folder=build.loaded.folder), root, taken


def _stages(
    nodes: Sequence[Node], then: Locked, now: Locked, cache: Path, taken: set[str]
) -> tuple[Outcome, ...]:
    fresh = {node.name for node in nodes if node.stage.fresh}
    known = {node.name for node in nodes}
    gone = [name for name in then.stages if name not in known]
    return (
        *(
            outcome(
                node,
                then.stages.get(node.name),
                now.stages.get(node.name),
                (
                    kept_outputs(then, node.name, default_root()),
                    kept_outputs(now, node.name, cache),
                ),
                fresh=fresh,
                taken=node.name in taken,
            )
            for node in nodes
        ),
        *(Outcome(name, "differs", ("ran in the first build only",)) for name in gone),
    )


def _lasting(section: str, found: Sequence[Change]) -> tuple[Change, ...]:
    """Without what differs between any two bundles, where both have it."""

    def fresh(item: Change) -> bool:
        if item.a is None or item.b is None:
            return False
        if section == "metadata":
            return item.path in _FRESH_METADATA
        encrypted = item.path.startswith(_ENCRYPTED)
        return section == "files" and (encrypted or item.path in _FRESH_FILES)

    return tuple(item for item in found if not fresh(item))
