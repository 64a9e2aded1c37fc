"""Renders all of a bundle but the model: runtime, Dockerfile, README, metadata, documents."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import asrpack
from asrpack.bundle.envelope import ENVELOPE_FILE, Envelope
from asrpack.bundle.metadata import BundleMetadata, ModelSummary, build_time, utc
from asrpack.bundle.model import GOLDEN_FILE, NGRAM_FILE, ModelDescription
from asrpack.bundle.provider import measured_in_words
from asrpack.report.deployment import deployment
from asrpack.report.images import BASE_IMAGES, IMAGE_PYTHONS, IMPORTS
from asrpack.report.mlbom import ml_bom
from asrpack.report.origin import ROLES, Origin, file_digests, read_records
from asrpack.report.packages import runtime_packages
from asrpack.report.provenance import provenance
from asrpack.report.wheels import wheel_digests
from asrpack.stages import stage
from asrpack.stages.provider import read_provider
from asrpack.stages.stage import Context, Stage

if TYPE_CHECKING:
    from jinja2 import Environment

PACKAGE = Path(asrpack.__file__).parent
MINIMUM_RUNTIME = "0.1.0"


def shipped_code() -> tuple[Path, ...]:
    """The files of asrpack that ship in every bundle: ordinary, tested Python, as it is.

    And the compiled beam search for both machines, with its source, which the loader holds it
    against; the graph that detects speech, with its licence; and the service's page.
    """
    folders = (PACKAGE / "bundle", PACKAGE / "runtime")
    kinds = ("*.py", "*.c", "*.so", "*.onnx", "LICENSE", "*.html", "*.css", "*.js", "*.svg")
    modules = [path for folder in folders for kind in kinds for path in folder.rglob(kind)]
    return (PACKAGE / "__init__.py", PACKAGE / "errors.py", *sorted(modules))


class RecipeTold(stage.Params):
    """The recipe as the documents tell it; see :mod:`asrpack.recipe.content`."""

    file: str
    sha256: str
    content: dict[str, Any]


class RenderParams(stage.Params):
    """As the recipe names them."""

    recipe: RecipeTold
    name: str
    version: str
    build: str
    target: str
    precision: str


class Render(Stage):
    """``tree/``: what :class:`asrpack.stages.seal.Seal` puts around the encrypted model.

    The code that ships and the templates are inputs too: a change of either renders anew.

    Args:
        keeps: remember the digests of what the user brings from one run to the next.
    """

    name: ClassVar[str] = "render"
    revision: ClassVar[int] = 3
    outputs: ClassVar[tuple[str, ...]] = ("tree",)
    fresh: ClassVar[str] = "the bundle's id, its time and what was measured anew are in it"
    tools: ClassVar[tuple[str, ...]] = (
        "onnxruntime",
        "paddlepaddle",
        "numpy",
        "soundfile",
        "soxr",
        "cryptography",
        "prometheus-client",
        "python-multipart",
        "starlette",
        "uvicorn",
        "websockets",
        "license-expression",
    )
    Params: ClassVar[type[stage.Params]] = RenderParams

    def __init__(self, *, keeps: bool = False) -> None:
        self._digests: dict[Path, dict[str, str]] | None = {} if keeps else None

    def run(
        self, params: RenderParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        tree = out / "tree"
        _copy_runtime(tree)
        created = build_time()
        description = ModelDescription.read(inputs["description"])
        envelope = Envelope.from_json((inputs["model"] / "envelope.json").read_bytes())
        evaluation = json.loads(inputs["evaluation"].read_bytes())
        # The figures ship; what was said in the vendor's test set does not.
        del evaluation["utterances"]
        _write_json(tree / "evaluation.json", evaluation)
        metadata = _metadata(params, inputs, description, envelope, created)
        (tree / "asrpack.json").write_bytes(metadata.to_json())
        packages = runtime_packages(
            params.target,
            ngram=description.decode.ngram is not None,
            gpu=metadata.provider is not None,
        )
        brought = _brought(inputs, {} if self._digests is None else self._digests)
        origin = _origin(params, inputs, brought, metadata.bundle_id, created)
        wheels = wheel_digests(inputs["wheels"]) if "wheels" in inputs else {}
        bill = ml_bom(
            origin,
            description=description,
            precision=params.precision,
            evaluation=evaluation,
            packages=packages,
            wheels=wheels,
        )
        _write_json(tree / "sbom.cdx.json", bill)
        statement = provenance(origin, _subjects(inputs["model"]), _kept(inputs))
        _write_json(tree / "provenance.intoto.json", statement)
        _render_templates(
            inputs["templates"],
            tree,
            {
                **params.model_dump(exclude={"recipe"}),
                "bundle_id": metadata.bundle_id,
                "family": description.family,
                "sample_rate": description.sample_rate,
                "vocabulary": len(description.tokens),
                "method": description.decode.method,
                "streams": description.streaming is not None,
                "golden": "golden" in metadata.files.values(),
                "marked": metadata.watermark is not None,
                "packages": packages,
                "hashes": {name: sorted(files.values()) for name, files in wheels.items()},
                "python": IMAGE_PYTHONS[params.target],
                "provider": metadata.provider,
                "base": BASE_IMAGES[params.target],
                "measured": measured_in_words(evaluation["provider"])
                if metadata.provider
                else None,
                "imports": IMPORTS[params.target],
                "utterances": evaluation["set"]["utterances"],
                "audio_seconds": evaluation["set"]["audio_seconds"],
                "size": evaluation["size"],
                **deployment(params.name, params.version, evaluation["size"]["bytes"]["candidate"]),
                "timing": evaluation["timing"],
                **evaluation["methods"][description.decode.method],
            },
        )


def _brought(inputs: Mapping[str, Path], known: dict[Path, dict[str, str]]) -> dict[str, str]:
    """SHA-256 of single files that the user brings; ``known`` is added to."""
    files: dict[str, str] = {}
    for name in ("source", "tokens", "manifest", "calibration", "language_model"):
        if (path := inputs.get(name)) is None:
            continue
        if path not in known:
            known[path] = file_digests(path, ROLES[name])
        files |= known[path]
    return files


def _origin(
    params: RenderParams,
    inputs: Mapping[str, Path],
    files: Mapping[str, str],
    bundle_id: str,
    created: int,
) -> Origin:
    stages, sources = read_records(inputs["records"])
    return Origin(
        name=params.name,
        version=params.version,
        build=params.build,
        bundle_id=bundle_id,
        created=created,
        recipe=params.recipe.model_dump(),
        stages=stages,
        sources=sources,
        files=files,
    )


def _subjects(model: Path) -> dict[str, str]:
    """SHA-256 of the encrypted files. The envelope is none: other recipients may be added to it."""
    digests = file_digests(model, "model")
    return {path: digest for path, digest in digests.items() if path != ENVELOPE_FILE}


def _kept(inputs: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of what the vendor keeps of the build, beside the bundle."""
    return {
        path.rpartition("/")[2]: digest
        for name in ("evaluation", "gate")
        for path, digest in file_digests(inputs[name], name).items()
    }


def _copy_runtime(tree: Path) -> None:
    for source in shipped_code():
        target = tree / "runtime" / "asrpack" / source.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    shutil.copyfile(PACKAGE / "bundle" / "verify.py", tree / "verify.py")


def _metadata(
    params: RenderParams,
    inputs: Mapping[str, Path],
    description: ModelDescription,
    envelope: Envelope,
    created: int,
) -> BundleMetadata:
    mark = json.loads(inputs["mark"].read_bytes()) if "mark" in inputs else None
    return BundleMetadata(
        bundle_id=envelope.header.bundle_id,
        name=params.name,
        version=params.version,
        build=params.build,
        asrpack=asrpack.__version__,
        created=utc(created),
        target=params.target,
        precision=params.precision,
        model=ModelSummary(
            description.family,
            description.sample_rate,
            len(description.tokens),
            description.decode.method,
        ),
        files={
            part.name: _role(item.path)
            for item in envelope.header.files
            for part in item.parts(envelope.header.bundle_id)
        },
        watermark=mark and mark["commitment"],
        minimum_runtime=MINIMUM_RUNTIME,
        recipients=tuple(sorted(item.kid for item in envelope.recipients)),
        sequence=created,
        provider=read_provider(inputs),
    )


def _role(path: str) -> str:
    """What a file of the model is: its graph's name, or the description."""
    others = {"model.json": "description", NGRAM_FILE: "language_model", GOLDEN_FILE: "golden"}
    return others.get(path) or path.rpartition(".")[0]


def _render_templates(folder: Path, tree: Path, values: Mapping[str, Any]) -> None:
    environment = _environment(folder)
    for template in sorted(environment.list_templates()):
        text = environment.get_template(template).render(values)
        target = tree / template.removesuffix(".j2")
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")


@cache
def _environment(folder: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # not HTML; the recipe's schema checked the names
    )


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n")
