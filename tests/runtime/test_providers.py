"""Options by ONNX Runtime's names, and what happens where a provider is not there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asrpack.bundle.provider import CudaOptions, ProviderSpec, ShapeRange, TensorrtOptions
from asrpack.errors import ToolchainError
from asrpack.runtime.engine_cache import EngineCache, library_path
from asrpack.runtime.engines.onnxruntime import open_session
from asrpack.runtime.provider_probe import choose, provider_fault
from asrpack.runtime.providers import Provider
from asrpack.runtime.recognizer import Recognizer
from tests.runtime import tiny

GOLDEN = Path(__file__).parent / "golden"
CUDA = ProviderSpec(
    "cuda", CudaOptions(1, 1 << 32, "kSameAsRequested", "HEURISTIC", tf32=False), fallback=False
)
PROFILES = {
    "encoder": {
        "feats": ShapeRange((1, 7, 80), (1, 498, 80), (4, 3000, 80)),
        "feat_lens": ShapeRange((1,), (1,), (4,)),
    },
    "decoder": {"hyps_in": ShapeRange((1, 1), (10, 31), (40, 751))},
}
TENSORRT = ProviderSpec(
    "tensorrt", TensorrtOptions(0, 1 << 32, 1 << 31, 5, True, True, True, PROFILES)
)
PLAIN = ProviderSpec("tensorrt", TensorrtOptions())


@pytest.mark.parametrize(
    ("name", "spec", "graph"),
    [
        ("cuda", CUDA, "encoder"),
        ("cuda_defaults", ProviderSpec("cuda", CudaOptions()), "encoder"),
        ("tensorrt", TENSORRT, "encoder"),
        ("tensorrt_decoder", TENSORRT, "decoder"),
        ("tensorrt_defaults", PLAIN, "encoder"),
    ],
)
def test_options(
    name: str, spec: ProviderSpec, graph: str, golden: Callable[[Path, str], None]
) -> None:
    chain = Provider(spec).chain(graph)
    golden(GOLDEN / f"provider_{name}.json", json.dumps(chain, indent=1) + "\n")


def test_what_is_kept(tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    """Engines by way of the library that encrypts them; nothing that the bundle does not allow."""
    cache = EngineCache(tmp_path / "cache", bytes(32))
    (_, options), *_ = Provider(TENSORRT).keeping(cache).chain("encoder")
    shown = json.dumps(options, indent=1).replace(str(tmp_path), "<here>")
    golden(
        GOLDEN / "provider_tensorrt_cached.json",
        shown.replace(str(library_path()), "<library>") + "\n",
    )
    assert Provider(PLAIN).keeping(cache).chain("encoder") == Provider(PLAIN).chain("encoder")


def test_engines_are_never_kept_in_the_clear(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "cache", bytes(32))
    for engines in (True, False):
        options = cache.options("encoder", engines=engines, timings=True)
        assert options.get("trt_engine_cache_enable") == options.get("trt_engine_decryption_enable")
    (_, options), *_ = Provider(TENSORRT).chain("encoder")
    assert options["trt_engine_cache_enable"] == "0"


@pytest.mark.skipif("ONNXRUNTIME_GPU" not in os.environ, reason="needs an unpacked onnxruntime-gpu")
@pytest.mark.parametrize("library", ["cuda", "tensorrt"])
def test_onnxruntime_has_these_names(library: str, tmp_path: Path) -> None:
    """Each name and word is in the provider's library, as text of its own."""
    folder = Path(os.environ["ONNXRUNTIME_GPU"]) / "capi"
    data = (folder / f"libonnxruntime_providers_{library}.so").read_bytes()
    spec = {"cuda": CUDA, "tensorrt": TENSORRT}[library]
    provider = Provider(spec).keeping(EngineCache(tmp_path / "cache", bytes(32)))
    (_, options), *_ = provider.chain("encoder")
    words = {*options, *(item for item in options.values() if item.startswith(("k", "H")))}
    assert [word for word in sorted(words) if b"\0" + word.encode() + b"\0" not in data] == []


def test_a_host_without_it_is_an_error() -> None:
    for spec in (CUDA, TENSORRT):
        assert provider_fault(spec.target) is not None
        with pytest.raises(ToolchainError, match="does not work on this host") as error:
            choose(spec, "the bundle")
        assert error.value.place == "the bundle" and "doctor" in (error.value.remedy or "")


def test_the_cpu_only_where_it_is_allowed() -> None:
    assert choose(ProviderSpec("cuda", CudaOptions(), fallback=True), "the bundle") is None


def test_no_session_on_another_provider_than_asked_for() -> None:
    """ONNX Runtime itself opens one on the CPU, and says nothing that a program could see."""
    provider = Provider(CUDA)
    with pytest.raises(ToolchainError) as error:
        open_session(tiny.encoder(), "encoder.onnx", 1, provider=provider)
    assert error.value.place == "encoder.onnx"
    session = open_session(tiny.encoder(), "encoder.onnx", 1)
    with pytest.raises(ToolchainError, match="opened on CPUExecutionProvider instead"):
        provider.check(session, "encoder.onnx")


def test_a_recogniser_says_what_it_runs_on() -> None:
    assert Recognizer(tiny.describe(), tiny.graphs()).provider == "CPUExecutionProvider"
