"""What a bundle's image is made from, by the target that its model runs on."""

from __future__ import annotations

import sys

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# For GPUs: of the CUDA and TensorRT that ONNX_RUNTIME_GPU is built with. They have no Python of
# their own that fits, so the Dockerfile installs their system's, Ubuntu 24.04's.
BASE_IMAGES = {
    "onnxruntime": f"python:{PYTHON}-slim-bookworm",
    "cuda": "nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04",
    "paddle_inference": f"python:{PYTHON}-slim-bookworm",
    "tensorrt": "nvcr.io/nvidia/tensorrt:25.09-py3",
}
IMAGE_PYTHONS = {**dict.fromkeys(BASE_IMAGES, PYTHON), "cuda": "3.12", "tensorrt": "3.12"}
# Of the older of their two systems, Debian 12.
GLIBC_MINOR = 36
# What the image tries whether it is installed.
IMPORTS = {
    **dict.fromkeys(("onnxruntime", "cuda", "tensorrt"), "onnxruntime"),
    "paddle_inference": "paddle.inference",
}
