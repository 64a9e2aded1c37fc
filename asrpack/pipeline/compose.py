"""From a recipe to the stages of one build, in topological order, each with its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from asrpack.bundle.keys import public_pem, recipient_public, signing_private
from asrpack.bundle.model import GOLDEN_FILE
from asrpack.bundle.secrets import SecretSource
from asrpack.pipeline.check import Checked
from asrpack.pipeline.compose_provider import PROVIDER, measured_on, provider_node
from asrpack.pipeline.compose_quantize import CONFIGURED, OPTIMIZED, quantization
from asrpack.pipeline.compose_source import model_source, node, to_onnx
from asrpack.pipeline.node import Input, Node, Output, Records, Source
from asrpack.recipe.content import recipe_content
from asrpack.recipe.gpu import Tensorrt
from asrpack.recipe.load import LoadedRecipe
from asrpack.recipe.manifest import Utterance
from asrpack.recipe.model_source import PaddleSpeechModel
from asrpack.recipe.schema import Build, ManifestSource, Recipe
from asrpack.report.images import IMAGE_PYTHONS
from asrpack.report.packages import runtime_packages
from asrpack.report.templates import templates_folder
from asrpack.stages.encrypt import Encrypt
from asrpack.stages.evaluate import Evaluate
from asrpack.stages.gate import Gate
from asrpack.stages.golden import RecordGolden
from asrpack.stages.reference import Reference
from asrpack.stages.render import Render, shipped_code
from asrpack.stages.seal import Seal
from asrpack.stages.watermark import Watermark, WatermarkPaddle
from asrpack.stages.wheels import Wheels


def compose(loaded: LoadedRecipe, checked: Checked, build: str) -> list[Node]:
    """The nodes of one of the recipe's builds.

    Args:
        checked: what the recipe names, as :func:`check_recipe` found it.

    Raises:
        KeyFileError: the signing key or a recipient's key cannot be used.
    """
    recipe = loaded.recipe
    brought = sources(loaded, checked)
    test = brought["test"]
    probe_set = brought.get("calibration", test)
    variant = recipe.builds[build]
    nodes = to_onnx(recipe, checked.model, probe_set, max_seconds=_longest(variant))
    fitted = brought.get("calibration")
    quantized = quantization(recipe, build, nodes, fitted)
    nodes += quantized.nodes
    if recipe.protect.watermark is not None:
        nodes.append(_watermark(recipe, quantized.original, nodes[-1]))
    candidate = Output(nodes[-1].name, nodes[-1].stage.outputs[0])
    if variant.on_gpu:
        nodes.append(provider_node(variant, CONFIGURED))
    if recipe.bundle.wheels:
        nodes.append(_wheels(recipe, variant))
    nodes += _measure(recipe, variant, candidate, test, quantized.calibration)
    if recipe.bundle.golden:
        evaluation = Output("evaluate", "evaluation.json")
        heard: dict[str, Input] = {"evaluation": evaluation, "manifest": test}
        nodes.append(node(RecordGolden(), heard, count=recipe.bundle.golden))
    told = {
        "file": loaded.path.name,
        "sha256": loaded.digest,
        "content": recipe_content(loaded, build),
    }
    records = Records(tuple(item.name for item in nodes))
    nodes += _pack(recipe, build, candidate, brought, told, records)
    return nodes


def sources(loaded: LoadedRecipe, checked: Checked) -> dict[str, Source]:
    """What the user brings to a build: ``model``, ``test``, and where given ``calibration``,
    ``tokens`` and ``language_model``."""
    recipe = loaded.recipe
    found = {
        "model": model_source(recipe.model, checked.model),
        "test": _manifest(recipe.data.test, checked.test),
        **_language_model(recipe),
    }
    if recipe.data.calibration is not None:
        found["calibration"] = _manifest(recipe.data.calibration, checked.calibration)
    if not isinstance(recipe.model, PaddleSpeechModel) and recipe.model.tokens is not None:
        found["tokens"] = Source(recipe.model.tokens)
    return found


def _watermark(recipe: Recipe, original: Output, quantize: Node) -> Node:
    mark = recipe.protect.watermark
    assert mark is not None
    kind = quantize.stage.outputs[0]
    stage = WatermarkPaddle() if kind == "paddle" else Watermark()
    inputs = {"original": original, kind: Output("quantize", kind)}
    unkeyed = node(stage, inputs, customer=mark.customer, strength=mark.strength)
    return replace(unkeyed, secrets={"key": mark.key.source()})


def _wheels(recipe: Recipe, variant: Build) -> Node:
    packages = runtime_packages(
        variant.target, ngram=recipe.decode.language_model is not None, gpu=variant.on_gpu
    )
    return node(
        Wheels(),
        {},
        requirements=[f"{name}=={version}" for name, version in packages],
        platforms=sorted(set(recipe.bundle.wheels)),
        python=IMAGE_PYTHONS[variant.target],
    )


def _longest(variant: Build) -> float | None:
    """Seconds of audio that the target takes; None for as much as the model does."""
    if not variant.on_gpu or not isinstance(variant.gpu, Tensorrt):
        return None
    return variant.gpu.profile.seconds.max


def _provider(variant: Build) -> dict[str, Output]:
    return {"provider": PROVIDER} if variant.on_gpu else {}


def _measure(
    recipe: Recipe,
    variant: Build,
    candidate: Output,
    test: Source,
    calibration: Output | None,
) -> list[Node]:
    nodes = []
    inputs: dict[str, Source | Output] = {
        "description": CONFIGURED,
        "baseline": OPTIMIZED,
        "candidate": candidate,
        "manifest": test,
        **_language_model(recipe),
        **_provider(variant),
    }
    if calibration is not None:
        inputs["calibration"] = calibration
    methods = recipe.evaluate.methods
    if recipe.evaluate.oracle == "paddlespeech" and isinstance(recipe.model, PaddleSpeechModel):
        nodes.append(
            node(
                Reference(),
                {"model": Source(recipe.model.path), "manifest": test},
                checkpoint=recipe.model.checkpoint,
                methods=methods,
                **recipe.decode.model_dump(exclude={"language_model"}),
            )
        )
        inputs["reference"] = Output("reference", "reference.json")
    gate, rate = recipe.gate, recipe.gate.error_rate
    return [
        *nodes,
        node(
            Evaluate(),
            inputs,
            target=variant.target,
            threads=recipe.evaluate.threads,
            methods=methods,
            measured_on=measured_on(variant),
        ),
        node(
            Gate(),
            {"evaluation": Output("evaluate", "evaluation.json")},
            metric=rate and rate.metric,
            max_error_rate=rate and rate.max,
            max_increase=rate and rate.max_increase,
            max_deletion_increase=gate.deletions and gate.deletions.max_increase,
            min_speedup=gate.speedup and gate.speedup.min,
            max_size_ratio=gate.size and gate.size.max_ratio,
            max_size_bytes=gate.size and gate.size.max_bytes,
            max_memory_ratio=gate.memory and gate.memory.max_ratio,
            max_memory_bytes=gate.memory and gate.memory.max_bytes,
            max_cold_start=gate.cold_start and gate.cold_start.max_seconds,
        ),
    ]


def _pack(
    recipe: Recipe,
    build: str,
    candidate: Output,
    brought: Mapping[str, Source],
    told: Mapping[str, Any],
    records: Records,
) -> list[Node]:
    sign = recipe.protect.sign.key.source()
    signer = public_pem(signing_private(sign.read(), str(sign))).decode()
    recipients = [
        public_pem(recipient_public(item.file.read_bytes(), str(item.file))).decode()
        for item in recipe.protect.encrypt.recipients
    ]
    variant, code = recipe.builds[build], shipped_code()
    sealed = Output("encrypt", "model")
    tree_inputs: dict[str, Input] = {
        "model": sealed,
        "description": CONFIGURED,
        "evaluation": Output("evaluate", "evaluation.json"),
        "gate": Output("gate", "gate.json"),
        "source": brought["model"],
        "templates": Source(templates_folder("bundle")),
        "code": Source(code[0], code[1:]),
        "manifest": brought["test"],
        "records": records,
        **{name: brought[name] for name in ("calibration", "tokens") if name in brought},
        **_language_model(recipe),
        **_provider(variant),
    }
    if recipe.protect.watermark is not None:
        tree_inputs["mark"] = Output("watermark", "mark.json")
    names = {"name": recipe.name, "version": recipe.version, "build": build}
    wheels = {"wheels": Output("wheels", "wheels")} if recipe.bundle.wheels else {}
    tree_inputs |= wheels
    seal = node(Seal(), {"tree": Output("render", "tree"), "model": sealed, **wheels})
    return [
        node(
            Encrypt(),
            {
                "graphs": candidate,
                "description": CONFIGURED,
                **_language_model(recipe),
                **({"golden": Output("golden", GOLDEN_FILE)} if recipe.bundle.golden else {}),
            },
            recipients=recipients,
            signer=signer,
        ),
        node(
            Render(),
            tree_inputs,
            **names,
            target=variant.target,
            precision=variant.precision,
            recipe=told,
        ),
        replace(seal, secrets={"key": sign, **_post_quantum(recipe)}),
    ]


def _post_quantum(recipe: Recipe) -> dict[str, SecretSource]:
    other = recipe.protect.sign.post_quantum
    return {} if other is None else {"post_quantum": other.source()}


def _language_model(recipe: Recipe) -> dict[str, Source]:
    model = recipe.decode.language_model
    return {} if model is None else {"language_model": Source(model.path)}


def _manifest(source: ManifestSource, utterances: Sequence[Utterance]) -> Source:
    return Source(source.manifest, tuple(item.audio for item in utterances))
