"""What the stages of a build were made of, as data: for the documents in a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asrpack.pipeline.cache import Entry
from asrpack.pipeline.node import cache_key

_TOLD = ("revision", "params", "inputs", "tools")


def stage_records(
    stages: Sequence[str], done: Mapping[str, Entry], sources: Mapping[str, str]
) -> dict[str, Any]:
    """``stages`` (in order: name, key, revision, params, inputs, tools, outputs) and ``sources``.

    No secret is in it, nor a commitment to one.

    Args:
        done: what ran so far; all of ``stages`` are in it.
        sources: digests of what the user brought to the node that gets the records, by input.
    """
    return {
        "stages": [
            {
                "name": name,
                "key": cache_key(done[name].components),
                **{part: done[name].components[part] for part in _TOLD},
                "outputs": dict(done[name].outputs),
            }
            for name in stages
        ],
        "sources": dict(sources),
    }
