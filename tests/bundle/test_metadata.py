"""asrpack.json: reads what it wrote, and that only."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from asrpack.bundle.envelope import Envelope
from asrpack.bundle.metadata import BundleMetadata, build_time, utc
from asrpack.bundle.provider import CudaOptions, ProviderSpec, ShapeRange, TensorrtOptions
from asrpack.bundle.verify import canonical_json
from asrpack.errors import InputError, IntegrityError
from tests.hostile.bundles import SealedBundle, metadata


@pytest.fixture
def sound(master_bundle: SealedBundle) -> BundleMetadata:
    path = master_bundle.path / "model" / "envelope.json"
    return replace(metadata(Envelope.from_json(path.read_bytes())), watermark="ab" * 32)


def test_reads_what_it_wrote(sound: BundleMetadata) -> None:
    assert BundleMetadata.from_json(sound.to_json()) == sound
    assert json.loads(sound.to_json())["format"] == "asrpack-bundle/1"


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.update(format="asrpack-bundle/2"),
        lambda raw: raw.update(more=1),
        lambda raw: raw.pop("target"),
        lambda raw: raw.pop("watermark"),
        lambda raw: raw.update(sequence=-1),
        lambda raw: raw.update(sequence="1"),
        lambda raw: raw.update(sequence=True),
        lambda raw: raw.update(created="2026-1-31T12:00:00Z"),
        lambda raw: raw.update(created="yesterday"),
        lambda raw: raw.update(bundle_id="x"),
        lambda raw: raw.update(watermark="x"),
        lambda raw: raw.update(watermark=1),
        lambda raw: raw.update(recipients=raw["recipients"][::-1]),
        lambda raw: raw.update(recipients=[1]),
        lambda raw: raw["model"].update(sample_rate="16000"),
        lambda raw: raw["files"].update(x=1),
    ],
)
def test_refused(sound: BundleMetadata, change: Callable[[dict[str, Any]], None]) -> None:
    raw = json.loads(sound.to_json())
    change(raw)
    with pytest.raises(IntegrityError) as error:
        BundleMetadata.from_json(canonical_json(raw))
    assert error.value.place == "asrpack.json"


CUDA = ProviderSpec("cuda", CudaOptions(gpu_memory_limit=1 << 32), fallback=True)
RANGE = ShapeRange((1, 7, 80), (1, 500, 80), (4, 3000, 80))
TENSORRT = ProviderSpec(
    "tensorrt", TensorrtOptions(fp16=True, profiles={"encoder": {"feats": RANGE}})
)


@pytest.mark.parametrize("provider", [CUDA, TENSORRT])
def test_a_provider_is_read_as_it_was_written(
    sound: BundleMetadata, provider: ProviderSpec
) -> None:
    given = replace(sound, provider=provider)
    assert BundleMetadata.from_json(given.to_json()) == given


def test_bundles_for_cpus_say_nothing_of_a_provider(sound: BundleMetadata) -> None:
    assert "provider" not in json.loads(sound.to_json())


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.update(provider=None),
        lambda raw: raw["provider"].update(target="openvino"),
        lambda raw: raw["provider"].update(target=[]),
        lambda raw: raw["provider"].update(more=1),
        lambda raw: raw["provider"].pop("fallback"),
        lambda raw: raw["provider"].update(fallback=1),
        lambda raw: raw["provider"].update(options=[]),
        # What would load a library of the bundle's choice, or write engines in the clear.
        lambda raw: raw["provider"]["options"].update(trt_extra_plugin_lib_paths="/tmp/a.so"),
        lambda raw: raw["provider"]["options"].update(trt_engine_cache_enable=True),
        lambda raw: raw["provider"]["options"].update(device_id="0"),
        lambda raw: raw["provider"]["options"].update(device_id=True),
        lambda raw: raw["provider"]["options"].update(device_id=-1),
        lambda raw: raw["provider"]["options"].update(fp16=1),
        lambda raw: raw["provider"]["options"].update(profiles=[]),
        lambda raw: raw["provider"]["options"]["profiles"].update(decoder=1),
        lambda raw: raw["provider"]["options"]["profiles"]["encoder"].update(a={"min": [1]}),
        lambda raw: raw["provider"]["options"]["profiles"]["encoder"]["feats"].update(min="1x7"),
        lambda raw: raw["provider"]["options"]["profiles"]["encoder"]["feats"].update(min=["1"]),
    ],
)
def test_a_provider_that_is_refused(
    sound: BundleMetadata, change: Callable[[dict[str, Any]], None]
) -> None:
    raw = json.loads(replace(sound, provider=TENSORRT).to_json())
    change(raw)
    with pytest.raises(IntegrityError) as error:
        BundleMetadata.from_json(canonical_json(raw))
    assert error.value.place == "asrpack.json"


def test_words_of_an_option_are_known_ones(sound: BundleMetadata) -> None:
    raw = json.loads(replace(sound, provider=CUDA).to_json())
    raw["provider"]["options"]["cudnn_conv_algo_search"] = "FASTEST"
    with pytest.raises(IntegrityError, match="cudnn_conv_algo_search must be one of"):
        BundleMetadata.from_json(canonical_json(raw))


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff", b'{"format":NaN}'])
def test_no_metadata_at_all(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        BundleMetadata.from_json(data)


def test_does_not_write_what_it_would_not_read(sound: BundleMetadata) -> None:
    with pytest.raises(InputError):
        replace(sound, created="now").to_json()
    with pytest.raises(InputError):
        replace(sound, sequence=2**53).to_json()


def test_build_time() -> None:
    assert build_time({"SOURCE_DATE_EPOCH": "1750000000"}) == 1_750_000_000
    assert utc(1_750_000_000) == "2025-06-15T15:06:40Z"
    assert build_time({}) > 1_750_000_000
    for text in ("", "x", "-1", "1.5", "9" * 12):
        with pytest.raises(InputError):
            build_time({"SOURCE_DATE_EPOCH": text})
