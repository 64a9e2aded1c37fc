"""Python and its packages: what is missing, what clashes, what imports do by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

from asrpack.doctor.facts import Facts, normalized
from asrpack.doctor.finding import Finding

# PaddleSpeech 1.5.0 cannot build its networks on a newer one (its issue 4129).
NEWEST_PADDLE_FOR_PADDLESPEECH = "3.1.1"
# paddlepaddle 3.1.1 has wheels up to here.
NEWEST_PYTHON_FOR_PADDLE = (3, 13)

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:(==|>=)\s*([0-9.]+))?")


def python_version(facts: Facts) -> Iterator[Finding]:
    """Whether the build toolchain exists for this Python."""
    shown = ".".join(map(str, facts.python))
    if facts.python > NEWEST_PYTHON_FOR_PADDLE and "paddlepaddle" not in facts.versions:
        yield Finding(
            "python",
            "warning",
            f"Python {shown}: paddlepaddle 3.1.1 has no wheel for it, so builds cannot run here; "
            "verify, inspect and run can",
            "build with Python 3.11 to 3.13",
        )
    else:
        yield Finding("python", "ok", f"Python {shown}")


def base_packages(facts: Facts) -> Iterator[Finding]:
    """What every verb needs."""
    faults = list(_unmet(facts, None))
    if faults:
        yield Finding(
            "packages",
            "error",
            f"asrpack's own packages are not as it needs them: {', '.join(faults)}",
            "pip install --force-reinstall asrpack",
        )
    else:
        yield Finding("packages", "ok", "the packages of verify, inspect and run are there")


def toolchain(facts: Facts) -> Iterator[Finding]:
    """What builds need, and the oracle."""
    wanted = [name for name, _, _ in _requirements(facts, "build")]
    present = [name for name in wanted if name in facts.versions]
    faults = list(_unmet(facts, "build"))
    remedy = "pip install 'asrpack[build]'"
    if not faults:
        yield Finding("toolchain", "ok", "the build toolchain is there")
    elif "paddlepaddle" not in present:
        yield Finding(
            "toolchain",
            "info",
            "the build toolchain is not installed: verify, inspect and run work, build does not",
            remedy,
        )
    else:
        yield Finding(
            "toolchain",
            "error",
            f"the build toolchain is not as builds need it: {', '.join(faults)}",
            remedy,
        )
    if "paddlespeech" in facts.versions:
        found = facts.versions["paddlespeech"]
        yield Finding("oracle", "ok", f"PaddleSpeech {found} is there to compare with")
    else:
        yield Finding(
            "oracle",
            "info",
            "PaddleSpeech is not installed: builds work, `oracle: paddlespeech` does not",
            "pip install 'asrpack[paddlespeech]'",
        )


def engines(facts: Facts) -> Iterator[Finding]:
    """What bundles can run here."""
    if "paddlepaddle" not in facts.versions:
        yield Finding(
            "engines",
            "info",
            "paddlepaddle is not installed: bundles for onnxruntime run here, those for "
            "paddle_inference do not",
            "pip install 'asrpack[paddle]'",
        )
    else:
        yield Finding("engines", "ok", "bundles for onnxruntime and paddle_inference run here")


def clashes(facts: Facts) -> Iterator[Finding]:
    """Versions that are known not to work together."""
    versions = facts.versions
    paddle, limit = versions.get("paddlepaddle"), NEWEST_PADDLE_FOR_PADDLESPEECH
    if "paddlespeech" in versions and paddle and _number(paddle) > _number(limit):
        yield Finding(
            "paddlespeech-paddle",
            "error",
            f"PaddleSpeech {versions['paddlespeech']} cannot build a network on paddlepaddle "
            f"{paddle} (Conv2D and LayerNorm take their arguments otherwise)",
            f"pip install paddlepaddle=={limit}",
        )
    onnx, converter = versions.get("onnx"), versions.get("paddle2onnx")
    if converter and onnx and _number(onnx) > _number("1.17.0"):
        yield Finding(
            "paddle2onnx-onnx",
            "error",
            f"paddle2onnx {converter} does not take onnx {onnx}",
            "pip install onnx==1.17.0",
        )
    runtimes = sorted(name for name in versions if re.fullmatch(r"onnxruntime(-gpu|-.*ml)?", name))
    if len(runtimes) > 1:
        yield Finding(
            "onnxruntime-twice",
            "warning",
            f"{' and '.join(runtimes)} share one folder, and the one installed last wins",
            f"pip uninstall -y {' '.join(runtimes)}, then install one of them",
        )
    numpy, opencv = versions.get("numpy"), versions.get("opencv-python")
    if numpy and opencv and _number(numpy) >= (2,) and _number(opencv) < (4, 10):
        yield Finding(
            "opencv-numpy",
            "info",
            f"opencv-python {opencv} (which paddleslim wants) prints `module compiled against ABI "
            f"version…` with numpy {numpy}; the import goes on, and builds do not use it",
            "none needed",
        )


def side_effects(facts: Facts) -> Iterator[Finding]:
    """What third-party imports do by themselves."""
    if facts.environ.get("ORT_DISABLE_TELEMETRY") != "1":
        yield Finding(
            "telemetry",
            "info",
            "ONNX Runtime 1.30 and later sends telemetry unless told not to; bundles turn it off, "
            "other programs in this environment do not",
            "export ORT_DISABLE_TELEMETRY=1",
        )
    if "paddlespeech" in facts.versions and not facts.environ.get("PIP_NO_INDEX"):
        yield Finding(
            "paddlespeech-pip",
            "info",
            "importing PaddleSpeech runs pip, which hangs without a network; asrpack's workers "
            "prevent it, your own scripts do not",
            "export PIP_NO_INDEX=1 before PaddleSpeech is imported",
        )


def _requirements(facts: Facts, extra: str | None) -> Iterator[tuple[str, str, str]]:
    """(name, operator, version) of what asrpack's metadata asks for under one extra."""
    for line in facts.requirements:
        requirement, _, marker = line.partition(";")
        found = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
        if (found[1] if found else None) == extra and (match := _REQUIREMENT.match(requirement)):
            yield normalized(match[1]), match[2] or "", match[3] or ""


def _unmet(facts: Facts, extra: str | None) -> Iterator[str]:
    for name, operator, wanted in _requirements(facts, extra):
        version = facts.versions.get(name)
        if name == "onnxruntime" and version is None:  # another distribution of the same module
            version = facts.versions.get("onnxruntime-gpu")
        if version is None:
            yield f"{name} is missing"
        elif (operator == "==" and _number(version) != _number(wanted)) or (
            operator == ">=" and _number(version) < _number(wanted)
        ):
            yield f"{name} is {version} and not {operator}{wanted}"


def _number(version: str) -> tuple[int, ...]:
    """The release part, for comparing; trailing zeros do not count."""
    match = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
