"""Each check on machines that are well and on machines that are not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asrpack.cli import main
from asrpack.doctor import examine
from asrpack.doctor.facts import Facts, Folder, gather
from asrpack.doctor.finding import Finding
from asrpack.doctor.machine import GIB

SOUND = Facts(
    python=(3, 11),
    machine="x86_64",
    cpu_flags=frozenset({"avx2", "avx512f", "avx512_vnni"}),
    cores=4,
    memory=16 * GIB,
    gpu_driver=None,
    gpus=(),
    provider_faults={},
    versions={
        "numpy": "2.4.6",
        "onnxruntime": "1.32.0",
        "paddlepaddle": "3.1.1",
        "paddle2onnx": "2.1.0",
        "onnx": "1.17.0",
        "paddlespeech": "1.5.0",
    },
    requirements=(
        "numpy>=2.0",
        "onnxruntime>=1.23",
        "paddlepaddle==3.1.1; extra == 'build'",
        'paddle2onnx==2.1.0; extra == "build"',
        "onnx==1.17.0; extra == 'build'",
        "pytest>=8; extra == 'dev'",
    ),
    environ={"ORT_DISABLE_TELEMETRY": "1", "PIP_NO_INDEX": "1"},
    folders=(Folder("cache", Path("/cache"), 50 * GIB, True),),
)


def found(facts: Facts) -> dict[str, Finding]:
    return {finding.code: finding for finding in examine(facts)}


def versions(**changed: str | None) -> Facts:
    merged = {**SOUND.versions, **{k.replace("_", "-"): v for k, v in changed.items()}}
    return replace(SOUND, versions={k: v for k, v in merged.items() if v is not None})


def flags(*names: str, machine: str = "x86_64") -> Facts:
    return replace(SOUND, cpu_flags=frozenset(names), machine=machine)


def disk(free: int, writable: bool = True) -> Facts:
    return replace(SOUND, folders=(Folder("cache", Path("/cache"), free, writable),))


def test_a_sound_machine() -> None:
    assert {finding.severity for finding in examine(SOUND)} == {"ok"}


@pytest.mark.parametrize(
    ("facts", "code", "severity", "words"),
    [
        (versions(paddlepaddle="3.2.2"), "paddlespeech-paddle", "error", "3.2.2"),
        (versions(paddlepaddle="10.0.0"), "paddlespeech-paddle", "error", "10.0.0"),
        (versions(onnx="1.18.0"), "paddle2onnx-onnx", "error", "1.18.0"),
        (versions(onnx="1.18.0"), "toolchain", "error", "onnx is 1.18.0 and not ==1.17.0"),
        (versions(paddle2onnx=None), "toolchain", "error", "paddle2onnx is missing"),
        (versions(paddlepaddle=None), "toolchain", "info", "verify, inspect and run work"),
        (versions(paddlepaddle=None), "engines", "info", "paddle_inference do not"),
        (versions(paddlespeech=None), "oracle", "info", "not installed"),
        (versions(numpy="1.26.4"), "packages", "error", "numpy is 1.26.4"),
        (versions(onnxruntime=None), "packages", "error", "onnxruntime is missing"),
        (versions(onnxruntime_gpu="1.22.0"), "onnxruntime-twice", "warning", "onnxruntime-gpu"),
        (versions(opencv_python="4.6.0.66"), "opencv-numpy", "info", "ABI"),
        (replace(SOUND, environ={}), "telemetry", "info", "telemetry"),
        (replace(SOUND, environ={}), "paddlespeech-pip", "info", "runs pip"),
        (
            replace(versions(paddlepaddle=None), python=(3, 14)),
            "python",
            "warning",
            "no wheel",
        ),
        (flags("avx2"), "cpu", "warning", "no VNNI"),
        (flags("sse4_2"), "cpu", "warning", "no avx2"),
        (flags("asimd", machine="aarch64"), "cpu", "warning", "no asimddp"),
        (flags(), "cpu", "info", "does not tell"),
        (replace(SOUND, memory=GIB), "memory", "warning", "1.0 GiB"),
        (replace(SOUND, memory=None), "memory", "info", "does not tell"),
        (disk(GIB), "disk-cache", "warning", "1.0 GiB free"),
        (disk(GIB // 10), "disk-cache", "error", "0.1 GiB free"),
        (disk(50 * GIB, writable=False), "disk-cache", "error", "no permission"),
    ],
)
def test_finding(facts: Facts, code: str, severity: str, words: str) -> None:
    finding = found(facts)[code]
    assert finding.severity == severity and words in finding.message
    assert finding.remedy or severity == "info"


GPU = replace(
    SOUND,
    gpu_driver="580.65.06",
    gpus=("NVIDIA L4, 23034 MiB, 8.9",),
    provider_faults={"cuda": None, "tensorrt": None},
)
MISSING = "cannot open shared object file: No such file or directory"


def test_a_machine_with_a_gpu() -> None:
    assert {finding.severity for finding in examine(GPU)} == {"ok"}
    assert "L4" in found(GPU)["gpu"].message
    assert {"gpu-cuda", "gpu-tensorrt"} <= set(found(GPU))


@pytest.mark.parametrize(
    ("changes", "code", "severity", "words", "remedy"),
    [
        ({"gpu_driver": None}, "gpu", "warning", "no NVIDIA driver", "driver"),
        ({"gpus": ()}, "gpu", "warning", "lists no GPU", "nvidia-smi"),
        ({"provider_faults": {}}, "gpu-runtime", "info", "no providers", "onnxruntime-gpu"),
        *(
            ({"provider_faults": {target: f"{library}: {MISSING}"}}, f"gpu-{target}", "warning",
             library, remedy)
            for target, library, remedy in (
                ("cuda", "libcuda.so.1", "driver"),
                ("cuda", "libcublasLt.so.13", "cuda,cudnn"),
                ("cuda", "libcudnn.so.9", "cuda,cudnn"),
                ("tensorrt", "libnvinfer.so.10", "TensorRT 10"),
            )
        ),
        ({"provider_faults": {"cuda": "CUDA failure 35"}}, "gpu-cuda", "warning", "35", "gpu.md"),
    ],
)  # fmt: skip
def test_finding_of_a_gpu(
    changes: dict[str, Any], code: str, severity: str, words: str, remedy: str
) -> None:
    finding = found(replace(GPU, **changes))[code]
    assert finding.severity == severity and words in finding.message and remedy in finding.remedy


def test_the_package_for_gpus_stands_in_for_onnxruntime() -> None:
    assert found(versions(onnxruntime=None, onnxruntime_gpu="1.31.1"))["packages"].severity == "ok"
    assert found(versions(onnxruntime=None, onnxruntime_gpu="1.1"))["packages"].severity == "error"


def test_int8_instructions_of_arm_count() -> None:
    assert found(flags("asimd", "asimddp", machine="aarch64"))["cpu"].severity == "ok"


def test_clashes_need_both_packages() -> None:
    codes = found(versions(paddlespeech=None, paddlepaddle="3.3.1"))
    assert "paddlespeech-paddle" not in codes and "paddlespeech-pip" not in codes


def test_this_machine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = main(["doctor", "--json", "--out", str(tmp_path / "not" / "yet")])
    answer = json.loads(capsys.readouterr().out)
    severities = {row["code"]: row["severity"] for row in answer["findings"]}
    assert answer["ok"] == (code == 0) == ("error" not in severities.values())
    assert severities["audio"] == "ok"  # the libraries that the wheels bring read every format
    assert severities["packages"] == "ok"
    assert {"cpu", "cores", "memory", "gpu", "disk-cache", "disk-artifacts"} <= set(severities)


def test_an_error_gives_exit_code_4(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("ASRPACK_CACHE", str(blocked / "cache"))
    assert main(["doctor"]) == 4
    assert "no permission" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 4
    assert not json.loads(capsys.readouterr().out)["ok"]


def test_facts_of_this_machine(tmp_path: Path) -> None:
    facts = gather(tmp_path)
    assert facts.cores >= 1 and "numpy" in facts.versions and facts.requirements
    assert all(folder.free >= 0 for folder in facts.folders)
