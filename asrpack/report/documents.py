"""The documents that travel with a bundle: CycloneDX ML-BOM and SLSA provenance."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asrpack import __version__


def timestamp(seconds: int) -> str:
    """RFC 3339, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ml_bom(
    *,
    name: str,
    version: str,
    bundle_id: str,
    created: int,
    family: str,
    precision: str,
    packages: Sequence[tuple[str, str]],
    sources: Mapping[str, str],
) -> dict[str, Any]:
    """CycloneDX 1.6 bill of materials: the model, its source files and the runtime's packages.

    Args:
        sources: SHA-256 by name of the files that the model was made of.
    """
    reference = f"pkg:generic/{name}@{version}"
    model = {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": name,
        "version": version,
        "modelCard": {
            "modelParameters": {
                "task": "automatic-speech-recognition",
                "architectureFamily": family,
            },
            "properties": [{"name": "asrpack:precision", "value": precision}],
        },
    }
    files = [
        {
            "type": "file",
            "bom-ref": f"file:{path}",
            "name": path,
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
        for path, digest in sorted(sources.items())
    ]
    libraries = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{package}@{number}",
            "name": package,
            "version": number,
            "purl": f"pkg:pypi/{package}@{number}",
        }
        for package, number in packages
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{bundle_id}",
        "version": 1,
        "metadata": {
            "timestamp": timestamp(created),
            "tools": {
                "components": [{"type": "application", "name": "asrpack", "version": __version__}]
            },
            "component": model,
        },
        "components": files + libraries,
        "dependencies": [
            {"ref": reference, "dependsOn": [item["bom-ref"] for item in files + libraries]}
        ],
    }


def provenance(
    *,
    name: str,
    subjects: Mapping[str, str],
    sources: Mapping[str, str],
    parameters: Mapping[str, Any],
    bundle_id: str,
    created: int,
) -> dict[str, Any]:
    """in-toto Statement v1 with an SLSA Provenance v1 predicate.

    Args:
        subjects: SHA-256 by name of the encrypted model files.
        sources: SHA-256 by name of what they were made of.
    """
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": path, "digest": {"sha256": digest}}
            for path, digest in sorted(subjects.items())
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:asrpack:build:v1",
                "externalParameters": {"name": name, **parameters},
                "resolvedDependencies": [
                    {"name": path, "digest": {"sha256": digest}}
                    for path, digest in sorted(sources.items())
                ],
            },
            "runDetails": {
                "builder": {"id": "urn:asrpack:builder", "version": {"asrpack": __version__}},
                "metadata": {"invocationId": bundle_id, "finishedOn": timestamp(created)},
            },
        },
    }


def file_digests(root: Path, prefix: str) -> dict[str, str]:
    """SHA-256 by ``prefix/relative-name`` of all files below ``root`` (or of the file itself)."""
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    result = {}
    for path in files:
        inner = path.name if path == root else path.relative_to(root).as_posix()
        with path.open("rb") as stream:
            result[f"{prefix}/{inner}"] = hashlib.file_digest(stream, "sha256").hexdigest()
    return result
