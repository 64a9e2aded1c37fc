"""How a fault in a recipe is shown: place, cause, the line with the fault marked, remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from asrpack.errors import InputError

_MAX_LINE = 120
_KEY_TEXT = re.compile(r"[A-Za-z0-9+/=]{60,}")


@dataclass(frozen=True)
class Source:
    """A text that a value came from: the recipe's file or one ``--set``."""

    name: str
    text: str
    is_override: bool = False


@dataclass(frozen=True)
class Span:
    """A stretch of one line of a source. Lines and columns count from 0, in characters."""

    source: Source
    line: int
    column: int
    width: int = 1

    @property
    def place(self) -> str:
        """``file:line:column``, from 1, as editors count; or the override itself."""
        if self.source.is_override:
            return self.source.name
        return f"{self.source.name}:{self.line + 1}:{self.column + 1}"

    @property
    def text(self) -> str:
        """The whole line that the span is on."""
        # Not splitlines(): it also breaks at characters that YAML does not count as line breaks.
        lines = self.source.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return lines[self.line] if self.line < len(lines) else ""

    def excerpt(self) -> str:
        """The line with a caret under each character of the span; empty for an override."""
        if self.source.is_override:
            return ""
        # A window of a long line, so that the caret stays below what it points at.
        start = max(0, self.column - _MAX_LINE // 2) if len(self.text) > _MAX_LINE else 0
        line = _KEY_TEXT.sub(_masked, self.text)[start : start + _MAX_LINE]
        shown = "".join(char if char.isprintable() else " " for char in line)
        column = self.column - start
        width = max(1, min(self.width, len(shown) - column))
        number = str(self.line + 1)
        bar = " " * len(number)
        return f"  {number} | {shown}".rstrip() + f"\n  {bar} | {' ' * column}{'^' * width}"


def _masked(match: re.Match[str]) -> str:
    """Hides what looks like a line of a key pasted by mistake: base64, 60 characters and more."""
    text = match[0]
    mixed = (
        any(map(str.isupper, text)) and any(map(str.islower, text)) and any(map(str.isdigit, text))
    )
    return "*" * len(text) if mixed else text


class RecipeError(InputError):
    """A fault in a recipe, shown with its line."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        span: Span,
        remedy: str | None = None,
        show_line: bool = True,
    ) -> None:
        super().__init__(message, code=code, place=span.place, remedy=remedy)
        self.span = span
        self.excerpt = span.excerpt() if show_line else ""

    def __str__(self) -> str:
        parts = [f"{self.place}: {self.message}", self.excerpt]
        if self.remedy:
            parts.append(f"  remedy: {self.remedy}")
        return "\n".join(part for part in parts if part)


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that ``word`` is most likely a misspelling of, if any is close."""
    by_fold = {item.lower().replace("-", "_"): item for item in allowed}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), by_fold, n=1, cutoff=0.6)
    return by_fold[close[0]] if close else None


def choices(word: str, allowed: Iterable[str]) -> str:
    """A remedy: what was perhaps meant, and all that is allowed."""
    names = list(allowed)
    listed = f"allowed here: {', '.join(names)}"
    return f"did you mean `{close}`? {listed}" if (close := nearest(word, names)) else listed
