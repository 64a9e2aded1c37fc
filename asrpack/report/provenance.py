"""``provenance.intoto.json``: in-toto Statement v1 with an SLSA Provenance v1 predicate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from asrpack import __version__
from asrpack.report.origin import Origin, package_url, timestamp

# Specified in docs/provenance.md.
BUILD_TYPE = "urn:asrpack:build:v1"
BUILDER = "urn:asrpack:builder"
# Whose parameters name the customer.
_KEYED = ("watermark",)


def provenance(
    origin: Origin, subjects: Mapping[str, str], byproducts: Mapping[str, str]
) -> dict[str, Any]:
    """The statement; the same arguments give the same.

    Args:
        subjects: SHA-256 by path of the encrypted model files.
        byproducts: SHA-256 by name of what the vendor keeps of the build.
    """
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": list(_descriptors(subjects)),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"build": origin.build, "recipe": origin.recipe["content"]},
                "internalParameters": {"stages": [_stage(item) for item in origin.stages]},
                "resolvedDependencies": list(_dependencies(origin)),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"asrpack": __version__}},
                "metadata": {
                    "invocationId": origin.bundle_id,
                    "finishedOn": timestamp(origin.created),
                },
                "byproducts": list(_descriptors(byproducts)),
            },
        },
    }


def _stage(record: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: record[name] for name in ("name", "key", "revision", "inputs", "outputs")}
    parameters = {} if record["name"] in _KEYED else {"parameters": record["params"]}
    return {**told, **parameters, "tools": record["tools"]}


def _dependencies(origin: Origin) -> Iterator[dict[str, Any]]:
    """The recipe, what it names, single files of that, and the tools, each sorted by name."""
    yield {
        "name": "recipe",
        "digest": {"sha256": origin.recipe["sha256"]},
        "annotations": {"path": origin.recipe["file"]},
    }
    for role in sorted(origin.sources):
        said = origin.said(role)
        more = {"annotations": said} if said else {}
        yield {"name": role, "digest": origin.digest(role), **more}
    yield from _descriptors(origin.files)
    for name, version in sorted({"asrpack": __version__, **origin.tools()}.items()):
        yield {"name": name, "uri": package_url(name, version)}


def _descriptors(digests: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for path, digest in sorted(digests.items()):
        yield {"name": path, "digest": {"sha256": digest}}
