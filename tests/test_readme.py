"""The README shows the recipe and the verbs that there are."""

from __future__ import annotations

import re
from pathlib import Path

from ruamel.yaml import YAML

from asrpack.cli import VERBS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_recipe_shown_is_the_quickstart_recipe() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    yaml = YAML(typ="safe")
    recipe = (ROOT / "recipes" / "quickstart" / "recipe.yaml").read_text(encoding="utf-8")
    assert yaml.load(shown) == yaml.load(recipe)


def test_every_verb_is_in_the_table() -> None:
    named = set(re.findall(r"^\| `asrpack (\w+)", README, re.MULTILINE))
    assert named == set(VERBS)


def test_make_targets_and_links_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link
