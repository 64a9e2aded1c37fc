"""The JSON Schema says what the loader says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from asrpack.cli import main
from asrpack.recipe.json_schema import schema_text

COPY = Path(__file__).parents[2] / "recipes" / "recipe.schema.json"


def test_copy_in_the_repository(
    golden: Callable[[Path, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema"]) == 0
    golden(COPY, capsys.readouterr().out)


def test_quickstart_names_it(quickstart: Path) -> None:
    first = (quickstart / "recipe.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../recipe.schema.json"
    assert (quickstart / "../recipe.schema.json").resolve() == COPY


def test_every_property_is_described_and_every_object_closed() -> None:
    schema = json.loads(schema_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "$id" not in schema and schema["title"] == "asrpack recipe"
    for section in [schema, *schema["$defs"].values()]:
        assert section["additionalProperties"] is False
        assert section["description"]
        for name, value in section["properties"].items():
            described = value.get("description") or schema["$defs"][
                value["$ref"].rpartition("/")[2]
            ].get("description")
            assert described, name
    assert '"null"' not in schema_text()
