"""Finds what a directory of Paddle Inference files holds: asrpack's own export, or another's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from asrpack.bundle.model import ModelDescription
from asrpack.errors import InputError
from asrpack.frontends.onnx_tokens import find_tokens
from asrpack.frontends.recognised import Recognised
from asrpack.networks.families import graph_specs
from asrpack.recipe.model_source import PaddleModel

FAMILY = "paddle_inference"
DESCRIPTION = "model.json"


@dataclass(frozen=True)
class Program:
    """A program and its parameters."""

    program: Path
    parameters: Path


def own_description(path: Path) -> ModelDescription | None:
    """The description in an export of asrpack's (an artifact's ``paddle/``); None elsewhere.

    Raises:
        InputError: it is of another version, or a graph's files are missing.
    """
    file = path / DESCRIPTION
    if not file.is_file() or b'"family"' not in file.read_bytes():
        return None  # Paddle's own programs may have the same name
    description = ModelDescription.read(file)
    for spec in graph_specs(description):
        for suffix in (".json", ".pdiparams"):
            if not (path / f"{spec.name}{suffix}").is_file():
                raise _missing(path, f"{spec.name}{suffix}")
    return description


def find_program(path: Path, name: str | None) -> Program:
    """The program of another's export.

    Args:
        name: its file's name without suffix; None for the only one.

    Raises:
        InputError: none, several, no parameters beside it, or a kind that cannot be built.
    """
    programs = sorted(path.glob("*.pdmodel"))
    programs += [file for file in sorted(path.glob("*.json")) if _is_program(file)]
    stems = {file.name.rpartition(".")[0]: file for file in programs}
    if any("forward_encoder_chunk" in stem for stem in stems):
        raise InputError(
            "this is PaddleSpeech's streaming export of a U2 model (forward_encoder_chunk): its "
            "caches change size from chunk to chunk, which paddle2onnx cannot convert",
            code="unsupported-model",
            place=str(path),
            remedy="give the directory that the model was exported from (model.yaml and "
            ".pdparams) with `source: paddlespeech`",
        )
    if name is None and len(stems) == 1:
        name = next(iter(stems))
    if name not in stems:
        listing = ", ".join(stems)
        raise InputError(
            f"there are {len(stems) or 'no'} programs" + (f": {listing}" if stems else ""),
            code="paddle-program",
            place=str(path),
            remedy=f"set model.program to one of: {listing}"
            if stems
            else "give a directory with .json or .pdmodel and .pdiparams",
        )
    parameters = path / f"{name}.pdiparams"
    if not parameters.is_file():
        raise _missing(path, parameters.name)
    return Program(stems[str(name)], parameters)


def look(model: PaddleModel) -> Recognised:
    """What a directory holds, without Paddle.

    Raises:
        InputError: nothing that can be built.
    """
    path = model.path
    if (own := own_description(path)) is not None:
        if unused := sorted(model.model_fields_set - {"source", "path"}):
            raise InputError(
                f"without effect, since {DESCRIPTION} tells: {', '.join(unused)}",
                code="paddle-described",
                place=str(path / DESCRIPTION),
                remedy="take it out of the recipe's `model`",
            )
        files = tuple(sorted(item for item in path.iterdir() if item.is_file()))
        reason = f"{DESCRIPTION} describes a model that asrpack exported ({own.family})"
        return Recognised(own.family, reason, files, path / f"{own.graphs[0]}.pdiparams")
    found = find_program(path, model.program)
    old = found.program.suffix == ".pdmodel"
    if model.front_end is None:
        raise InputError(
            "a Paddle program does not tell its front end",
            code="paddle-front-end",
            place=str(found.program),
            remedy="give model.front_end as the model was trained, e.g. "
            "`front_end: {fbank: {num_mel_bins: 80}}`",
        )
    return Recognised(
        FAMILY,
        f"{found.program.name} is a program of Paddle Inference in the {'old' if old else 'new'} "
        "format",
        (found.program, found.parameters, find_tokens(path, model.tokens)),
        found.parameters,
    )


def _is_program(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(4096)
    if b'"base_code"' in head:
        return True
    try:
        return "program" in json.loads(path.read_bytes())
    except (ValueError, TypeError):
        return False


def _missing(path: Path, name: str) -> InputError:
    return InputError(
        f"{name} is missing",
        code="paddle-incomplete",
        place=str(path),
        remedy="copy the whole directory of the export",
    )
