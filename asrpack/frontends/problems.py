"""Collects errors, so that a user sees all that is wrong with a model at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from asrpack.errors import AsrpackError, ErrorGroup


class Problems:
    """Errors gathered while reading goes on."""

    def __init__(self) -> None:
        self.errors: list[AsrpackError] = []

    @contextmanager
    def gather(self) -> Iterator[None]:
        """Keeps what the block raises and goes on after it."""
        try:
            yield
        except ErrorGroup as group:
            self.errors.extend(group.errors)
        except AsrpackError as error:
            self.errors.append(error)

    def raise_if_any(self) -> None:
        """Raises the one error, or all of them as an :class:`ErrorGroup`."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise ErrorGroup(self.errors)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the nearest known name, with a leading space; empty where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f" (did you mean {near[0]!r}?)" if near else ""
