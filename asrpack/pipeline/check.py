"""Checks what a recipe names before a build spends minutes on it: files, data, keys, model."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asrpack.bundle.key_providers import scheme_of
from asrpack.bundle.keys import recipient_public
from asrpack.bundle.secrets import SecretSource
from asrpack.errors import AsrpackError, ErrorGroup, InputError, KeyFileError
from asrpack.frontends.recognised import Recognised
from asrpack.frontends.sources import look
from asrpack.networks import foreign
from asrpack.pipeline.check_quantize import quantization_faults
from asrpack.recipe.load import LoadedRecipe
from asrpack.recipe.manifest import Utterance, overlap, read_manifest
from asrpack.recipe.model_source import Model, PaddleSpeechModel
from asrpack.recipe.slots import Loc

MAX_NAMED = 3


@dataclass(frozen=True)
class Checked:
    """What a sound recipe names."""

    model: Recognised
    test: tuple[Utterance, ...]
    calibration: tuple[Utterance, ...]


def check_recipe(loaded: LoadedRecipe, *, weights: bool = False) -> Checked:
    """Looks at everything that a recipe names, but reads no private key.

    Args:
        weights: read the whole model, too, as a build's first stage does.

    Raises:
        ErrorGroup: all that is wrong, in the order of the recipe; exit code 3.
    """
    errors: list[AsrpackError] = []
    model = _model(loaded, weights, errors)
    test = _manifest(loaded, ("data", "test", "manifest"), errors)
    calibration = _manifest(loaded, ("data", "calibration", "manifest"), errors)
    errors += _overlap(loaded, calibration, test)
    errors += quantization_faults(loaded)
    errors += _language_model(loaded)
    errors += _targets(loaded, model)
    errors += _protection(loaded)
    if errors or model is None:
        raise ErrorGroup(errors)
    return Checked(model, test, calibration)


def _model(loaded: LoadedRecipe, weights: bool, errors: list[AsrpackError]) -> Recognised | None:
    model = loaded.recipe.model
    if fault := _model_fault(model):
        message, remedy = fault
        errors.append(loaded.fault(("model", "path"), message, code="model-missing", remedy=remedy))
        return None
    if loaded.recipe.evaluate.oracle == "paddlespeech" and model.source != "paddlespeech":
        errors.append(
            loaded.fault(
                ("evaluate", "oracle"),
                f"PaddleSpeech cannot decode a model whose source is {model.source}",
                code="oracle-source",
                remedy="take `oracle` out",
            )
        )
    errors += _asked_of_others(loaded)
    try:
        return look(
            model,
            weights=weights,
            streaming=loaded.recipe.streaming is not None,
            right_to_left=loaded.recipe.right_to_left,
        )
    except InputError as error:
        errors.append(error)
    except ErrorGroup as group:
        errors += group.errors
    return None


def _asked_of_others(loaded: LoadedRecipe) -> Iterator[AsrpackError]:
    """What only PaddleSpeech's models can be asked for."""
    recipe = loaded.recipe
    if recipe.model.source == "paddlespeech":
        return
    remedy = "take it out"
    if recipe.streaming is not None:
        yield loaded.fault(
            ("streaming",),
            f"a model whose source is {recipe.model.source} takes whole recordings only",
            code="not-streaming",
            remedy=remedy,
        )
    if recipe.right_to_left:
        yield loaded.fault(
            ("decode", "reverse_weight"),
            f"a model whose source is {recipe.model.source} has no right-to-left decoder",
            code="no-right-decoder",
            remedy=remedy,
        )


def _targets(loaded: LoadedRecipe, model: Recognised | None) -> Iterator[AsrpackError]:
    """Paddle Inference runs what asrpack exports; others' graphs are rewritten in ONNX."""
    if model is None or model.family not in foreign.FAMILIES:
        return
    for name, build in loaded.recipe.builds.items():
        if build.target == "paddle_inference":
            yield loaded.fault(
                ("builds", name, "target"),
                "a model of another toolkit is built for ONNX Runtime only: asrpack gives its "
                "graph the interface of the runtime in ONNX",
                code="target-source",
                remedy="set `target: onnxruntime`, or build from a model of PaddleSpeech or an "
                "export of asrpack's",
            )


def _language_model(loaded: LoadedRecipe) -> Iterator[AsrpackError]:
    model = loaded.recipe.decode.language_model
    methods = loaded.recipe.evaluate.methods or ()
    if model is None and "ctc_beam_search" in methods:
        yield loaded.fault(
            ("evaluate", "methods", methods.index("ctc_beam_search")),
            "ctc_beam_search searches with a language model, and none is given",
            code="no-language-model",
            remedy="add `decode: {language_model: {path: …}}`, or take it out",
        )
    if model is not None and (fault := _file_fault(model.path)):
        yield loaded.fault(
            ("decode", "language_model", "path"),
            f"the language model {fault}: {model.path}",
            code="language-model-missing",
            remedy="give an ARPA file, or what KenLM's build_binary makes of it",
        )


def _model_fault(model: Model) -> tuple[str, str] | None:
    """What is wrong with the model's path, and the remedy."""
    if isinstance(model, PaddleSpeechModel) and not model.path.is_dir():
        what = "is not a directory" if model.path.exists() else "does not exist"
        return (
            f"the model directory {what}: {model.path}",
            "name the directory that has model.yaml in it; the path is relative to the recipe",
        )
    if not model.path.exists():
        return (
            f"the model does not exist: {model.path}",
            "name the .onnx file or the export's directory; the path is relative to the recipe",
        )
    return None


def _manifest(loaded: LoadedRecipe, loc: Loc, errors: list[AsrpackError]) -> tuple[Utterance, ...]:
    data = loaded.recipe.data
    source = data.test if loc[1] == "test" else data.calibration
    if source is None:
        return ()
    if fault := _file_fault(source.manifest):
        errors.append(
            loaded.fault(
                loc,
                f"the manifest {fault}: {source.manifest}",
                code="manifest-missing",
                remedy='write one object a line: {"audio": "a.wav", "text": "what is said"}; the '
                "path is relative to the recipe",
            )
        )
        return ()
    try:
        return tuple(read_manifest(source.manifest))
    except ErrorGroup as group:
        errors += group.errors
    except InputError as error:
        errors.append(error)
    return ()


def _overlap(
    loaded: LoadedRecipe, calibration: tuple[Utterance, ...], test: tuple[Utterance, ...]
) -> Iterator[AsrpackError]:
    if not (pairs := overlap(calibration, test)):
        return
    named = ", ".join(f"{a.id} = {b.id}" for a, b in pairs[:MAX_NAMED])
    more = f" and {len(pairs) - MAX_NAMED} more" if len(pairs) > MAX_NAMED else ""
    yield loaded.fault(
        ("data", "calibration", "manifest"),
        f"{len(pairs)} recordings are in the test set too: {named}{more}",
        code="data-overlap",
        remedy="take them out of one of the two: a model must not be measured on speech that it "
        "was fitted to",
    )


def _protection(loaded: LoadedRecipe) -> Iterator[AsrpackError]:
    protect = loaded.recipe.protect
    if mark := protect.watermark:
        loc: Loc = ("protect", "watermark", "key")
        yield from _secret(loaded, loc, mark.key.source(), "watermark")
    seen: dict[str, int] = {}
    for index, recipient in enumerate(protect.encrypt.recipients):
        loc = ("protect", "encrypt", "recipients", index, "file")
        if fault := _file_fault(recipient.file):
            yield loaded.fault(
                loc,
                f"the recipient's key {fault}: {recipient.file}",
                code="recipient-missing",
                remedy="ask the recipient for the public key: `asrpack keys generate recipient "
                "-o NAME.key` writes it as NAME.pub",
            )
            continue
        try:
            key = recipient_public(recipient.file.read_bytes(), str(recipient.file))
        except KeyFileError as error:
            yield loaded.fault(loc, error.message, code=error.code, remedy=error.remedy)
            continue
        first = seen.setdefault(key.fingerprint, index)
        if first != index:
            yield loaded.fault(
                loc,
                f"the same key as recipient {first + 1}",
                code="recipient-twice",
                remedy="name each recipient once",
            )
    loc = ("protect", "sign", "key")
    yield from _secret(loaded, loc, protect.sign.key.source(), "signing")
    if (other := protect.sign.post_quantum) is not None:
        loc = ("protect", "sign", "post_quantum")
        yield from _secret(loaded, loc, other.source(), "signing-pq")


def _secret(
    loaded: LoadedRecipe, loc: Loc, source: SecretSource, kind: str
) -> Iterator[AsrpackError]:
    """Whether the reference leads anywhere; the key itself is read by the build alone."""
    fault = None
    remedy = f"make one with `asrpack keys generate {kind} -o {source.value}`"
    if source.kind == "file":
        if fault := _file_fault(Path(source.value)):
            fault = f"the {kind} key {fault}: {source.value}"
    elif source.kind == "env":
        if not os.environ.get(source.value):
            fault = f"the environment variable {source.value} is not set or empty"
            remedy = f"export {source.value} with the {kind} key's text"
    elif source.kind == "uri":
        if scheme_of(source.value) is None:
            fault = f"nothing installed provides {kind} keys of {source.value.partition(':')[0]}:"
            remedy = "install the package that does, or check the URI"
    else:
        try:
            program = shlex.split(source.value)[0]
        except (ValueError, IndexError):
            fault = f"the {kind} key's command cannot be split into words"
            remedy = "close its quotes"
        else:
            if shutil.which(program) is None:
                fault = f"the {kind} key's command is not there: {program}"
                remedy = "install it, or give its full path"
    if fault:
        yield loaded.fault((*loc, source.kind), fault, code="secret-missing", remedy=remedy)


def _file_fault(path: Path) -> str | None:
    try:
        if not path.is_file():
            return "is not a file" if path.exists() else "does not exist"
        if path.stat().st_size == 0:
            return "is empty"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if os.access(path, os.R_OK) else "cannot be read (no permission)"
