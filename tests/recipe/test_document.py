"""YAML by the 1.2 core schema, with places."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrpack.errors import AsrpackError
from asrpack.recipe.diagnostics import RecipeError, Source, Span
from asrpack.recipe.document import Node, parse


def tree(text: str) -> Node:
    root, faults = parse(Source("r.yaml", text))
    assert root is not None and not faults
    return root


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("12:30:00", "12:30:00"),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("+7", 7),
        ("2.30", 2.3),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        ("True", True),
        ("~", None),
        ("''", ""),
        ("'1'", "1"),
        ('"true"', "true"),
        ("! 1", "1"),
        (r'"\ud83d\ude00"', "😀"),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_scalars(text: str, value: object) -> None:
    found = tree(f"key: {text}\n").plain()["key"]
    assert found == value and type(found) is type(value)


def test_nan() -> None:
    assert math.isnan(tree("[.nan]").plain()[0])


def test_places_are_of_the_characters_that_an_editor_counts() -> None:
    root = tree("größe: 1\nb:\n  - {x: 'y z'}\n")
    assert isinstance(root.value, dict)
    entry = root.value["größe"]
    assert (entry.key_span.place, entry.node.span.place) == ("r.yaml:1:1", "r.yaml:1:8")
    items = root.value["b"].node.value
    assert isinstance(items, list) and isinstance(items[0].value, dict)
    assert items[0].value["x"].node.span.place == "r.yaml:3:9"
    assert items[0].value["x"].node.span.excerpt() == "  3 |   - {x: 'y z'}\n    |         ^^^^^"


def test_aliases_read_as_what_they_stand_for() -> None:
    root = tree("a: &x {k: 1}\nb: *x\nc: [*x]\n")
    assert root.plain() == {"a": {"k": 1}, "b": {"k": 1}, "c": [{"k": 1}]}
    assert isinstance(root.value, dict) and root.value["b"].node.span.line == 1


def test_an_alias_inside_its_own_anchor_is_refused() -> None:
    with pytest.raises(RecipeError, match="not yet complete"):
        parse(Source("r.yaml", "a: &a [*a]\n"))


def test_a_long_line_is_cut_around_the_fault() -> None:
    span = Span(Source("r.yaml", "x" * 500 + " FAULT " + "y" * 500), 0, 501, 5)
    line, carets = span.excerpt().split("\n")
    assert len(line) < 140
    assert line[carets.index("^") : carets.rindex("^") + 1] == "FAULT"


def test_what_looks_like_a_key_is_not_shown() -> None:
    base64 = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXyZ0123456789abc"
    with pytest.raises(RecipeError) as caught:
        parse(Source("r.yaml", f"a:\n  - b\n {base64}: : x\n"))
    assert base64[:20] not in str(caught.value) and "*****" in str(caught.value)


YAML_ISH = st.text(
    alphabet=st.sampled_from("ab:- \n\t#&*!|>'\"%@`{}[],?~<=.0123456789\\x\x00\ufeff\u2028\r é"),
    max_size=60,
)


@given(st.one_of(YAML_ISH, st.text(max_size=60)))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(Source("r.yaml", text))
    except AsrpackError as error:
        assert str(error)
