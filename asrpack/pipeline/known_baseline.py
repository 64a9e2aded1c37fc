"""The build's own evaluation, for those of its customers: fp32 is the same in all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from asrpack.pipeline.cache import Entry
from asrpack.pipeline.digest import digest_path
from asrpack.pipeline.locked import Locked
from asrpack.pipeline.node import Node
from asrpack.pipeline.plan import SourceDigests, resolve
from asrpack.report.results import EVALUATION

_OWN = "candidate"


def known_baseline(
    locked: Locked, evaluate: Node, entries: Mapping[str, Entry], digests: SourceDigests
) -> dict[str, Path]:
    """What :class:`asrpack.pipeline.runner.Runner` takes as known.

    Args:
        evaluate: a customer's evaluation.
        entries: of the stages that do not depend on the customer.

    Returns:
        The build's evaluation by its stage; nothing where it is not what the build left, or was
        made of something else than the customer's is, the candidate apart.
    """
    build, path = locked.stages.get(evaluate.name), locked.folder.absolute() / EVALUATION
    shared = {name: ref for name, ref in evaluate.inputs.items() if name != _OWN}
    _, now = resolve(replace(evaluate, inputs=shared), entries, digests)
    if build is None or _without(build["components"]) != now:
        return {}
    return {evaluate.name: path} if digest_path(path) == build["outputs"][EVALUATION] else {}


def _without(components: Mapping[str, Any]) -> dict[str, Any]:
    """Components without the candidate."""
    inputs = {name: value for name, value in components["inputs"].items() if name != _OWN}
    return {**components, "inputs": inputs}
