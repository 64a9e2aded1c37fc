"""``provenance.intoto.json`` by the published definitions of in-toto and SLSA."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format
from packageurl import PackageURL

from asrpack.report.provenance import BUILD_TYPE, provenance
from tests.report.origin_example import ORIGIN
from tests.report.schemas import check_statement

SUBJECTS = {"model/encoder.onnx.enc": "b" * 64, "model/model.json.enc": "c" * 64}
KEPT = {"gate.json": "e" * 64, "evaluation.json": "d" * 64}


def dependencies(statement: dict[str, Any]) -> dict[str, Any]:
    items = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert len({item["name"] for item in items}) == len(items)
    return {item["name"]: item for item in items}


def test_it_is_valid_and_the_same_each_time() -> None:
    statement = provenance(ORIGIN, SUBJECTS, KEPT)
    check_statement(statement)
    assert statement == provenance(ORIGIN, dict(reversed(SUBJECTS.items())), KEPT)
    definition = statement["predicate"]["buildDefinition"]
    assert definition["buildType"] == BUILD_TYPE
    assert definition["externalParameters"] == {
        "build": "cpu",
        "recipe": ORIGIN.recipe["content"],
    }
    assert [item["name"] for item in statement["subject"]] == sorted(SUBJECTS)
    kept = statement["predicate"]["runDetails"]["byproducts"]
    assert {item["name"]: item["digest"]["sha256"] for item in kept} == KEPT


@pytest.mark.parametrize("part", ["_type", "subject", "predicateType"])
def test_the_check_finds_what_is_missing(part: str) -> None:
    statement = provenance(ORIGIN, SUBJECTS, KEPT)
    del statement[part]
    with pytest.raises((ValueError, KeyError)):
        check_statement(statement)


def test_the_check_finds_what_is_unknown() -> None:
    statement = provenance(ORIGIN, SUBJECTS, KEPT)
    statement["predicate"]["buildDefinition"]["surprise"] = 1
    with pytest.raises(json_format.ParseError, match="surprise"):
        check_statement(statement)


def test_sources_have_digests_and_what_the_recipe_says_of_them() -> None:
    found = dependencies(provenance(ORIGIN, SUBJECTS, KEPT))
    assert found["recipe"]["digest"] == {"sha256": "0" * 64}
    assert found["model"]["digest"] == {"asrpackListing": "1" * 64}
    assert found["model"]["annotations"] == {"path": "conformer", "license": "apache-2.0"}
    assert found["test"]["annotations"]["url"] == "https://example.org/digits"
    assert found["test/test.jsonl"]["digest"] == {"sha256": "9" * 64}
    # One file: its own digest.
    assert found["language_model"]["digest"] == {"sha256": "4" * 64}


def test_tools_are_package_urls() -> None:
    found = dependencies(provenance(ORIGIN, SUBJECTS, KEPT))
    urls = {
        name: PackageURL.from_string(item["uri"]) for name, item in found.items() if "uri" in item
    }
    assert {name: url.version for name, url in urls.items() if name != "asrpack"} == {
        "numpy": "2.0.0",
        "ruamel.yaml": "0.18.1",
        "onnxruntime-gpu": "1.31.1",
        "onnx": "1.17.0+local",
    }
    assert urls["ruamel.yaml"].name == "ruamel-yaml"
    assert all(url.type == "pypi" for url in urls.values())


def test_the_customer_and_the_mark_are_not_told() -> None:
    statement = provenance(ORIGIN, SUBJECTS, KEPT)
    stages = statement["predicate"]["buildDefinition"]["internalParameters"]["stages"]
    assert [item["name"] for item in stages] == ["import", "evaluate", "watermark"]
    assert [("parameters" in item) for item in stages] == [True, True, False]
    assert "Somebody" not in json.dumps(statement)
