"""``report.html``: what a release manager reads, and what hostile texts cannot do in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from asrpack.report.html import SHOWN_LAYERS, SHOWN_TEXTS, render_report
from tests.report.example import EVALUATION, change, said, write_artifact

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\x07\u202eabc"
LINES = {"h1", "h2", "h3", "p", "tr", "dt", "dd", "header", "text", "summary", "strong", "title"}


class Page(HTMLParser):
    """The tags, and the text a line an element; the style's is left out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._pieces: list[str] = []
        self._hidden = False
        self.feed(text)
        lines = (" ".join(line.split()) for line in "".join(self._pieces).split("\n"))
        self.text = "\n".join(line for line in lines if line) + "\n"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._hidden = tag == "style"
        if tag == "mark":
            self._pieces.append("[")
        if tag in ("td", "th", "small", "span"):
            self._pieces.append(" | ")
        if tag in LINES:
            self._pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False
        if tag == "mark":
            self._pieces.append("]")
        if tag in LINES:
            self._pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._pieces.append(data.replace("\n", " "))


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return write_artifact(tmp_path / "artifact")


def test_what_it_says(artifact: Path, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN / "search.txt", Page(render_report(artifact)).text)


def test_without_a_search_or_paddlespeech_or_memory(
    tmp_path: Path, golden: Callable[[Path, str], None]
) -> None:
    artifact = write_artifact(tmp_path / "artifact", search=False)
    evaluation = json.loads((artifact / "evaluation.json").read_bytes())
    for section in ("paddlespeech", "memory", "cold_start"):
        del evaluation[section]
    del evaluation["methods"]["ctc_greedy_search"]
    del evaluation["methods"]["attention_rescoring"]["streaming"]
    (artifact / "evaluation.json").write_text(json.dumps(evaluation))
    golden(GOLDEN / "plain.txt", Page(render_report(artifact)).text)


def test_it_needs_nothing_else(artifact: Path) -> None:
    """No script, nothing fetched; the browser is told so, too."""
    text = render_report(artifact)
    page = Page(text)
    assert {"script", "link", "img", "iframe", "object", "base"}.isdisjoint(t for t, _ in page.tags)
    for _, attributes in page.tags:
        assert {"src", "href", "xlink:href", "srcset", "action"}.isdisjoint(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|url\(|@import", text)


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("evaluation.json", ("utterances", 0, "utt")),
        ("evaluation.json", ("utterances", 0, "reference")),
        ("evaluation.json", ("utterances", 0, "baseline", "attention_rescoring")),
        ("evaluation.json", ("utterances", 0, "candidate", "attention_rescoring")),
        ("evaluation.json", ("timing", "host", "cpu")),
        ("evaluation.json", ("paddlespeech", "versions", "paddlespeech")),
        ("gate.json", ("checks", 0, "name")),
        ("gate.json", ("checks", 0, "reason")),
        ("asrpack.lock", ("recipe", "name")),
        ("asrpack.lock", ("recipe", "precision")),
        ("asrpack.lock", ("recipe", "overrides", 0)),
        ("asrpack.lock", ("sources", "model", "name")),
        ("asrpack.lock", ("sources", "model", "sha256")),
        ("asrpack.lock", ("stages", "watermark", "components", "params", "customer")),
        ("asrpack.lock", ("stages", "gate", "components", "tools", "numpy")),
        ("search.json", ("layers", 0, "name")),
        ("search.json", ("candidates", 0, "name")),
    ],
    ids=str,
)
def test_hostile_text_is_text(artifact: Path, file: str, path: tuple[str | int, ...]) -> None:
    before = Page(render_report(artifact))
    change(artifact, file, *path, to=HOSTILE)
    text = render_report(artifact)
    page = Page(text)
    marks = {"mark", "span"}  # where a text differs, words of it are marked
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in before.tags} | marks
    assert not any(name.startswith("on") for _, a in page.tags for name in a)
    assert "<script" not in text and "&lt;" in text
    assert "\u202e" not in text and "\x07" not in text, "what turns a line around is escaped"


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        (("size", "bytes", "candidate"), 7_777_777, "7.8\N{NO-BREAK SPACE}MB"),
        (("timing", "speedup"), 3.21, "3.21×"),
        (("timing", "speedup_range"), [2.5, 4.25], "2.50× to 4.25×"),
        (("memory", "candidate", "running", "peak"), 99_900_000, "99.9\N{NO-BREAK SPACE}MB"),
        (("cold_start", "candidate", "seconds"), 1.23, "1.23\N{NO-BREAK SPACE}s"),
        (
            ("methods", "attention_rescoring", "cer", "candidate", "rate"),
            0.0777,
            "7.77\N{NO-BREAK SPACE}%",
        ),
        (("methods", "attention_rescoring", "cer", "candidate", "deletions"), 777, "777"),
        (
            ("methods", "attention_rescoring", "cer", "increase_interval_95"),
            [-0.0123, 0.0456],
            "\N{MINUS SIGN}1.23\N{NO-BREAK SPACE}% to +4.56\N{NO-BREAK SPACE}%",
        ),
        (
            ("methods", "attention_rescoring", "streaming", "wer", "streaming", "rate"),
            0.0888,
            "8.88\N{NO-BREAK SPACE}%",
        ),
        (("paddlespeech", "candidate", "attention_rescoring", "identical"), 77, "77 of 105"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_another_figure_is_another_report(
    artifact: Path, path: tuple[str | int, ...], value: Any, shown: str
) -> None:
    assert shown not in render_report(artifact)
    change(artifact, "evaluation.json", *path, to=value)
    assert shown in render_report(artifact)


def test_a_rejected_candidate_is_called_so_with_the_reasons_first(artifact: Path) -> None:
    change(artifact, "gate.json", "checks", 5, "ok", to=False)
    change(artifact, "gate.json", "ok", to=False)
    text = Page(render_report(artifact)).text
    head = text[: text.index("Gate\n")]
    assert "Rejected" in head and "The speed-up in words" in head
    assert "Accepted" not in text
    first = text[text.index("Gate\n") :].splitlines()[2]
    assert "not met" in first and "Speed-up" in first and "at least 1.10×" in first


def test_long_lists_are_cut_or_folded(artifact: Path) -> None:
    many = [said("a b", "a b", f"a {n}", f"utt-{n}") for n in range(SHOWN_TEXTS + 7)]
    change(artifact, "evaluation.json", "utterances", to=many)
    text = Page(render_report(artifact)).text
    assert text.count("wrong now") == SHOWN_TEXTS and "7 more are in evaluation.json" in text
    assert f"{24 - SHOWN_LAYERS} less sensitive layers" in text


def test_the_same_files_give_the_same_report(artifact: Path, tmp_path: Path) -> None:
    assert render_report(artifact) == render_report(write_artifact(tmp_path / "again"))


def test_the_figures_of_the_example_are_not_typed_into_the_template(artifact: Path) -> None:
    template = (Path(__file__).parents[2] / "templates/report/report.html.j2").read_text()
    assert str(EVALUATION["set"]["utterances"]) not in template
