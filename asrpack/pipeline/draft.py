"""Writes a recipe for a model: what was recognised, and what the user must still give."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from asrpack.pipeline.sketch import Sketch, quoted, sketch

SCHEMA_FILE = "recipe.schema.json"
_TEMPLATE = """\
# yaml-language-server: $schema={schema}
#
# {reason}.
# {summary}.
#
# `asrpack check {recipe}` says what is still missing; `asrpack build {recipe}` builds.
# Relative paths are relative to this file. In a path, "${{NAME}}" is an environment variable.
schema: 1
name: {name}
version: "0.1.0"

model:
{section}

data:
  # Speech with transcripts: one JSON object a line, {{"audio": "a.wav", "text": "what is said"}}.
  # Calibration: the steps of a build are compared on it. Keep it apart from the test set.
  calibration: {{manifest: {calibration}}}
  # Test: the finished model is measured on it before anything ships.
  # `license`, `name` and `url` beside `manifest`, and `license` of the model, go into the bill of
  # materials.
  test: {{manifest: {test}}}

builds:
  # int8 is a quarter of the size, int4 a fifth, fp16 half, fp32 all; speed depends on the CPU.
  # The output layers stay floats; `quantize: {{exclude: [PATTERN, …]}}` names more.
  cpu: {{target: onnxruntime, precision: int8}}

# The model's own, unless you change them here:
#decode: {{method: {method}, beam_size: {beam_size}, ctc_weight: {ctc_weight}}}

{streaming}# How the result is measured:
#evaluate:
#  methods: [{methods}]
{oracle}
# What the result must meet, or the build fails. Fractions: 0.005 is 0.5 %.
gate:
  error_rate: {{metric: cer, max_increase: 0.005}}   # max: 0.08 bounds the rate itself
  #deletions: {{max_increase: 0.001}}
  #speedup: {{min: 1.0}}
  #size: {{max_ratio: 0.35}}                          # or max_bytes
  #memory: {{max_bytes: 500000000}}                   # peak of a process that runs it; or max_ratio
  #cold_start: {{max_seconds: 2}}

# Keys never stand here, only where they are: {{file: …}}, {{env: NAME}} or {{command: …}}.
protect:
  # asrpack keys generate watermark -o {keys}vendor.mark
  watermark:
    key: {{file: keys/vendor.mark}}
    customer: customer   # who gets this bundle
  # The customer makes the key and sends you the .pub file:
  # asrpack keys generate recipient -o {keys}customer.key
  encrypt:
    recipients:
      - {{file: keys/customer.pub}}
  # asrpack keys generate signing -o {keys}vendor.pem
  sign:
    key: {{file: keys/vendor.pem}}
"""
# Where the model can stream.
_STREAMING = """\
# The model can stream: recognise while the audio arrives, too, by the same weights. Chunks are in
# encoder frames; left_chunks is the history that attention sees, -1 for all:
{mark}streaming: {{chunk_size: {chunk_size}, left_chunks: {left_chunks}}}

"""

_ORACLE = "#  oracle: paddlespeech   # compare with PaddleSpeech's own text; it must be installed\n"


@dataclass(frozen=True)
class Draft:
    """A recipe's text, and what the model was found to be and why, in two lines."""

    text: str
    reason: str
    summary: str


def draft_recipe(model: Path, recipe: Path, checkpoint: str | None = None) -> Draft:
    """Looks at a model and writes a recipe's text for it.

    Args:
        model: a model's directory, or the file of a graph.
        recipe: where the text will be; its paths are relative to that folder.
        checkpoint: which weights, where there are several.

    Raises:
        InputError, ErrorGroup: it is of no kind that can be built, or is damaged.
    """
    folder = recipe.absolute().parent
    found = sketch(model, checkpoint, lambda path: _path(path.absolute(), folder))
    reason = " ".join(found.reason.split())  # it goes into a comment, which a line break would end
    data = model.absolute().parent / "data"
    text = _TEMPLATE.format(
        schema=SCHEMA_FILE,
        reason=reason,
        summary=found.summary,
        recipe=recipe.name,
        name=_name(model),
        section="\n".join(f"  {line}" for line in found.section),
        oracle=_ORACLE if found.oracle else "",
        calibration=_manifest(data, "calibration", folder),
        test=_manifest(data, "test", folder),
        method=found.decode.method,
        beam_size=found.decode.beam_size,
        ctc_weight=found.decode.ctc_weight,
        methods=", ".join(found.methods),
        streaming=_streaming(found),
        # As a command typed in the current folder has it.
        keys=os.path.relpath(folder / "keys") + "/",
    )
    return Draft(text, reason, found.summary)


def _streaming(found: Sketch) -> str:
    """Commented out, unless PaddleSpeech's own command line streams this model, too."""
    chunks = found.streaming
    if chunks is None:
        return ""
    mark = "" if found.streamed else "#"
    return _STREAMING.format(
        mark=mark, chunk_size=chunks.chunk_size, left_chunks=chunks.left_chunks
    )


def _manifest(data: Path, use: str, folder: Path) -> str:
    """The manifest next to the model that is named for its use, or where to put one."""
    path = data / f"{use}.jsonl"
    return _path(path, folder) if path.is_file() else f"data/{use}.jsonl"


def _path(path: Path, folder: Path) -> str:
    """Relative to the recipe's folder where that is near, so that both can move together."""
    relative = os.path.relpath(path, folder)
    return quoted(str(path) if relative.startswith("../../..") else relative)


def _name(model: Path) -> str:
    """The directory's name, as far as a bundle's name can take it."""
    name = model.resolve().stem if model.is_file() else model.resolve().name
    name = re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-._+")[:64]
    return quoted(name or "model")
