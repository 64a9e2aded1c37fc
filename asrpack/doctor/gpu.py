"""Whether bundles for GPUs can be measured and run here."""

from __future__ import annotations

from collections.abc import Iterator

from asrpack.doctor.facts import Facts
from asrpack.doctor.finding import Finding

PACKAGE = "onnxruntime-gpu"
# First of a library's name, and what brings it.
_REMEDIES = {
    "libcuda.": "install NVIDIA's driver; in a container, start it with --gpus all",
    "libnvinfer": "install TensorRT 10 for CUDA 13, and let LD_LIBRARY_PATH name its folder",
    "libnvonnxparser": "install TensorRT 10 for CUDA 13, and let LD_LIBRARY_PATH name its folder",
    "libcudnn": f"pip install '{PACKAGE}[cuda,cudnn]'",
    "libcu": f"pip install '{PACKAGE}[cuda,cudnn]'",
}


def gpu(facts: Facts) -> Iterator[Finding]:
    """Driver, devices, and each of ONNX Runtime's providers, tried with a trial graph."""
    if facts.gpu_driver is None and not facts.provider_faults:
        yield Finding("gpu", "ok", "no GPU: models run on the CPU")
        return
    if facts.gpu_driver is None:
        yield Finding(
            "gpu",
            "warning",
            f"{PACKAGE} is installed, and no NVIDIA driver is loaded",
            _REMEDIES["libcuda."],
        )
    elif not facts.gpus:
        yield Finding(
            "gpu",
            "warning",
            f"NVIDIA driver {facts.gpu_driver} is loaded, and nvidia-smi lists no GPU",
            "run nvidia-smi by hand; in a container, start it with --gpus all",
        )
    else:
        yield Finding("gpu", "ok", f"NVIDIA driver {facts.gpu_driver}: {'; '.join(facts.gpus)}")
    if not facts.provider_faults:
        yield Finding(
            "gpu-runtime",
            "info",
            "the onnxruntime that is installed has no providers for GPUs: models run on the CPU",
            f"pip uninstall -y onnxruntime, then pip install '{PACKAGE}[cuda,cudnn]'",
        )
    for target, fault in facts.provider_faults.items():
        if fault is None:
            yield Finding(f"gpu-{target}", "ok", f"{target}: a trial graph runs")
        else:
            yield Finding(
                f"gpu-{target}", "warning", f"{target} does not work: {fault}", _remedy(fault)
            )


def _remedy(fault: str) -> str:
    for name, remedy in _REMEDIES.items():
        if fault.startswith(name):
            return remedy
    return "see docs/gpu.md for the versions of CUDA, cuDNN and TensorRT that go together"
