"""``sbom.cdx.json``: CycloneDX 1.6 bill of materials with a model card."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asrpack import __version__
from asrpack.bundle.model import ModelDescription
from asrpack.report.licenses import license_choice, package_license
from asrpack.report.origin import Origin, datasets, package_url, timestamp
from asrpack.runtime.vad import SILERO_VERSION

# Of the serial numbers, which are derived from the contents.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:asrpack:sbom")
_PURPOSE = {
    "test": "Speech on which the finished model was measured.",
    "calibration": "Speech on which the steps of the build were compared and ranges measured.",
}
_CONSIDERATIONS = {
    "users": "users",
    "use_cases": "useCases",
    "technical_limitations": "technicalLimitations",
}


def ml_bom(
    origin: Origin,
    *,
    description: ModelDescription,
    precision: str,
    evaluation: Mapping[str, Any],
    packages: Sequence[tuple[str, str]],
    wheels: Mapping[str, Mapping[str, str]] = {},
) -> dict[str, Any]:
    """The bill: the model with its card, what it was made of, and the runtime's packages.

    The same arguments give the same; the serial number is derived from the contents.

    Args:
        evaluation: as ``evaluation.json`` has it.
        packages: (name, version) of what the runtime needs installed.
        wheels: by name of such a package, SHA-256 by path of its files in the bundle.
    """
    model = _model(origin, description, precision, evaluation)
    parts = [_source(origin), *_sets(origin), *_others(origin), *_libraries(packages, wheels)]
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": timestamp(origin.created),
            "tools": {"components": list(_tools(origin))},
            "component": model,
        },
        "components": parts,
        "dependencies": [
            {"ref": model["bom-ref"], "dependsOn": [item["bom-ref"] for item in parts]}
        ],
    }
    content = json.dumps(bill, sort_keys=True)
    return {**bill, "serialNumber": uuid.uuid5(_NAMESPACE, content).urn}


def _model(
    origin: Origin,
    description: ModelDescription,
    precision: str,
    evaluation: Mapping[str, Any],
) -> dict[str, Any]:
    kind = description.network.get("encoder_type")
    card = {
        "modelParameters": {
            "task": "automatic-speech-recognition",
            "architectureFamily": description.family,
            **({"modelArchitecture": kind} if isinstance(kind, str) else {}),
            "datasets": [{"ref": f"data:{role}"} for role in datasets(origin)],
            "inputs": [{"format": f"audio, {description.sample_rate} Hz, one channel"}],
            "outputs": [{"format": "text"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": list(_metrics(origin, evaluation))},
        **_considerations(origin.recipe["content"].get("considerations", {})),
        "properties": [_property("precision", precision)],
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": f"pkg:generic/{origin.name}@{origin.version}",
        "name": origin.name,
        "version": origin.version,
        "modelCard": card,
        "properties": [
            _property("build", origin.build),
            _property("bundle_id", origin.bundle_id),
        ],
    }


def _metrics(origin: Origin, evaluation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Error rates of each method, their rise over fp32, and the real-time factor."""
    measured = evaluation["set"]
    name = origin.said("test").get("name", "test set")
    sliced = f"{name}: {measured['utterances']} utterances, {measured['audio_seconds']:.1f} s"
    for method, result in sorted(evaluation["methods"].items()):
        for unit in ("cer", "wer"):
            at = f"{sliced}; {method}"
            yield _metric(unit.upper(), result[unit]["candidate"]["rate"], at)
            low, high = result[unit]["increase_interval_95"]
            yield {
                **_metric(f"{unit.upper()} increase over fp32", result[unit]["increase"], at),
                "confidenceInterval": {"lowerBound": str(low), "upperBound": str(high)},
            }
            if streaming := result.get("streaming"):
                rate = streaming[unit]["streaming"]["rate"]
                yield _metric(unit.upper(), rate, f"{at}, streaming")
    timing = evaluation["timing"]
    host = timing["host"]
    cpu = ", ".join(filter(None, (host.get("cpu"), host["machine"])))
    where = f"{timing['audio_seconds']:.1f} s; {timing['method']}; {cpu}, {host['cores']} cores"
    yield _metric("real-time factor", timing["candidate_rtf"], where)


def _metric(kind: str, value: float, sliced: str) -> dict[str, Any]:
    return {"type": kind, "value": str(value), "slice": sliced}


def _considerations(said: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        there: list(said[here]) for here, there in _CONSIDERATIONS.items() if said.get(here)
    }
    if ethical := said.get("ethical_considerations"):
        found["ethicalConsiderations"] = [{"name": text} for text in ethical]
    return {"considerations": found} if found else {}


def _source(origin: Origin) -> dict[str, Any]:
    """The model as it was before the build."""
    said = origin.said("model")
    return {
        "type": "machine-learning-model",
        "bom-ref": "model:source",
        "name": said["path"],
        **_licensed(said.get("license")),
        "components": [
            _file(path, path.removeprefix("model/"), digest)
            for path, digest in sorted(origin.files.items())
            if path.startswith("model/")
        ],
        "properties": _digests(origin, "model"),
    }


def _sets(origin: Origin) -> Iterator[dict[str, Any]]:
    """Recordings. The hash is of the manifest; the property covers the recordings, too."""
    for role in datasets(origin):
        said = origin.said(role)
        name = said.get("name", said["path"])
        contents = {"contents": {"url": said["url"]}} if "url" in said else {}
        manifest = [digest for path, digest in origin.files.items() if path.startswith(f"{role}/")]
        yield {
            "type": "data",
            "bom-ref": f"data:{role}",
            "name": name,
            **_licensed(said.get("license")),
            "hashes": [_sha256(digest) for digest in manifest],
            "data": [{"type": "dataset", "name": name, "description": _PURPOSE[role], **contents}],
            "properties": _digests(origin, role),
        }


def _others(origin: Origin) -> Iterator[dict[str, Any]]:
    """Other files that the model is made of, and asrpack's own code that ships."""
    for role in ("tokens", "language_model"):
        for path, digest in origin.files.items():
            if path.startswith(f"{role}/"):
                yield _file(path, path.partition("/")[2], digest)
    yield {
        **_library("asrpack", __version__),
        "description": "The runtime in this bundle.",
        "properties": _digests(origin, "runtime"),
    }
    # Of this package only a graph is in the bundle, in runtime/asrpack/runtime/vad/.
    url = package_url("silero-vad", SILERO_VERSION)
    yield {
        "type": "machine-learning-model",
        "bom-ref": url,
        "name": "silero-vad",
        "version": SILERO_VERSION,
        "purl": url,
        **_licensed("MIT"),
    }


def _libraries(
    packages: Sequence[tuple[str, str]], wheels: Mapping[str, Mapping[str, str]]
) -> Iterator[dict[str, Any]]:
    for name, version in packages:
        files = [_file(path, path, digest) for path, digest in wheels.get(name, {}).items()]
        yield {**_library(name, version), **({"components": files} if files else {})}


def _tools(origin: Origin) -> Iterator[dict[str, Any]]:
    for name, version in sorted({"asrpack": __version__, **origin.tools()}.items()):
        url = package_url(name, version)
        yield {"type": "application", "name": name, "version": version, "purl": url}


def _library(name: str, version: str) -> dict[str, Any]:
    url = package_url(name, version)
    return {
        "type": "library",
        "bom-ref": url,
        "name": name,
        "version": version,
        "purl": url,
        **_licensed(package_license(name)),
    }


def _licensed(text: str | None) -> dict[str, Any]:
    choice = license_choice(text)
    return {"licenses": choice} if choice else {}


def _digests(origin: Origin, role: str) -> list[dict[str, str]]:
    return [_property(f"digest:{kind}", value) for kind, value in origin.digest(role).items()]


def _file(path: str, name: str, digest: str) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{path}",
        "name": name,
        "hashes": [_sha256(digest)],
    }


def _sha256(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"asrpack:{name}", "value": value}
