"""``sbom.cdx.json`` by CycloneDX's own schema."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from asrpack.bundle.model import ModelDescription
from asrpack.report.licenses import license_choice, package_license
from asrpack.report.mlbom import ml_bom
from asrpack.report.origin import Origin
from asrpack.report.packages import runtime_packages
from tests.report.example import EVALUATION
from tests.report.origin_example import ORIGIN, with_content
from tests.report.schemas import bill_faults
from tests.runtime import tiny

DESCRIPTION: ModelDescription = replace(tiny.describe(), network={"encoder_type": "conformer"})


def bill(origin: Origin = ORIGIN, evaluation: dict[str, Any] = EVALUATION) -> dict[str, Any]:
    return ml_bom(
        origin,
        description=DESCRIPTION,
        precision="int8",
        evaluation=evaluation,
        packages=runtime_packages("onnxruntime"),
    )


def component(value: dict[str, Any], reference: str) -> dict[str, Any]:
    (found,) = [item for item in value["components"] if item["bom-ref"] == reference]
    return found


def test_it_is_valid() -> None:
    assert bill_faults(bill()) is None
    spoilt = bill()
    spoilt["metadata"]["component"]["modelCard"]["task"] = "speech"
    assert bill_faults(spoilt) is not None


def test_a_recipe_that_says_little_is_enough() -> None:
    plain = with_content(model={"path": "m"}, data={"test": {"manifest": "t.jsonl"}})
    content = dict(plain.recipe["content"])
    del content["considerations"]
    sources = {name: digest for name, digest in ORIGIN.sources.items() if name != "calibration"}
    plain = replace(plain, recipe={**plain.recipe, "content": content}, sources=sources)
    found = bill(plain)
    assert bill_faults(found) is None
    assert "considerations" not in found["metadata"]["component"]["modelCard"]
    assert "licenses" not in component(found, "model:source")
    assert component(found, "data:test")["name"] == "t.jsonl"


def test_the_serial_number_is_of_the_contents() -> None:
    first, again = bill(), bill(copy.deepcopy(ORIGIN), copy.deepcopy(EVALUATION))
    assert json.dumps(first, sort_keys=True) == json.dumps(again, sort_keys=True)
    other = bill(with_content(model={"path": "conformer", "license": "MIT"}))
    assert other["serialNumber"] != first["serialNumber"]


def test_the_card_has_what_was_measured_and_on_what() -> None:
    card = bill()["metadata"]["component"]["modelCard"]
    assert card["modelParameters"]["modelArchitecture"] == "conformer"
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    wanted = EVALUATION["methods"]["attention_rescoring"]["cer"]
    (whole,) = [
        item
        for item in metrics
        if item["type"] == "CER" and item["slice"].endswith("; attention_rescoring")
    ]
    assert float(whole["value"]) == wanted["candidate"]["rate"]
    assert whole["slice"].startswith("Digits, held out: 105 utterances, 220.6 s")
    (increase,) = [
        item
        for item in metrics
        if item["type"].startswith("CER increase") and "attention_rescoring" in item["slice"]
    ]
    bounds = [float(increase["confidenceInterval"][b]) for b in ("lowerBound", "upperBound")]
    assert bounds == wanted["increase_interval_95"]
    assert any("streaming" in item["slice"] for item in metrics)
    (speed,) = [item for item in metrics if item["type"] == "real-time factor"]
    assert float(speed["value"]) == EVALUATION["timing"]["candidate_rtf"]
    assert card["considerations"]["useCases"] == ["telephone numbers"]
    assert card["considerations"]["ethicalConsiderations"] == [
        {"name": "accents that it was not trained on"}
    ]


def test_sources_have_licences_and_digests() -> None:
    found = bill()
    model = component(found, "model:source")
    assert model["licenses"] == [{"expression": "Apache-2.0"}]
    assert [item["name"] for item in model["components"]] == ["avg_1.pdparams", "model.yaml"]
    assert model["components"][0]["hashes"] == [{"alg": "SHA-256", "content": "8" * 64}]
    test = component(found, "data:test")
    assert test["hashes"] == [{"alg": "SHA-256", "content": "9" * 64}]
    assert {"name": "asrpack:digest:asrpackListing", "value": "2" * 64} in test["properties"]
    assert test["data"][0]["contents"] == {"url": "https://example.org/digits"}
    spoken = component(found, "data:calibration")["licenses"]
    assert spoken == [{"license": {"name": "as agreed with the speakers"}}]
    references = found["metadata"]["component"]["modelCard"]["modelParameters"]["datasets"]
    assert references == [{"ref": "data:test"}, {"ref": "data:calibration"}]


def test_packages_have_versions_and_the_licences_of_their_metadata() -> None:
    found = {item["name"]: item for item in bill()["components"] if item["type"] == "library"}
    for name, version in runtime_packages("onnxruntime"):
        assert found[name]["version"] == version
        assert found[name]["licenses"] == license_choice(package_license(name))
    assert found["cryptography"]["licenses"] == [{"expression": "Apache-2.0 OR BSD-3-Clause"}]


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("mit or Apache-2.0", [{"expression": "MIT OR Apache-2.0"}]),
        ("MIT License", [{"license": {"name": "MIT License"}}]),
        ("()", [{"license": {"name": "()"}}]),
        (None, []),
    ],
)
def test_licences(text: str | None, choice: list[dict[str, Any]]) -> None:
    assert license_choice(text) == choice


def test_what_is_not_installed_has_no_licence() -> None:
    assert package_license("no-such-distribution") is None
