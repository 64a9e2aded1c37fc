"""The recipe's JSON Schema, for editors and other tools."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from asrpack.recipe.schema import Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_text() -> str:
    """The JSON Schema, draft 2020-12, as ``asrpack schema`` prints it."""
    schema = Recipe.model_json_schema(schema_generator=_Generator)
    document = {"$schema": DIALECT, **schema, "title": "asrpack recipe"}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


class _Generator(GenerateJsonSchema):
    """As a recipe is read: a key is there with a value, or not there; never null."""

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> dict[str, Any]:
        # Most defaults are "not given" or a whole section of such: nothing to tell an editor.
        default = schema.get("default")
        if isinstance(default, (str, int, float)):
            return super().default_schema(schema)
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False
