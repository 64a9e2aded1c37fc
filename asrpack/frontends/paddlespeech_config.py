"""Reads PaddleSpeech's YAML: typed, every error with file, line and column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, SequenceNode

from asrpack.errors import InputError
from asrpack.frontends.problems import Problems, did_you_mean

Keys = tuple[str | int, ...]
_REQUIRED: Any = object()
# PyYAML, which PaddleSpeech reads with, follows YAML 1.1, where these are booleans too.
_BOOLEANS = {"yes": True, "on": True, "no": False, "off": False}


@dataclass(frozen=True)
class Document:
    """A YAML file: its values, and where each of them stands."""

    path: Path
    text: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Document:
        """Reads a file whose top level is a mapping.

        Raises:
            InputError: missing, unreadable, not UTF-8, not YAML, not a mapping.
        """
        text = read_text(path, "configuration")
        try:
            values = YAML(typ="safe").load(text)
        except YAMLError as error:
            mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
            where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
            problem = getattr(error, "problem", None) or str(error)
            raise InputError(
                f"this is not valid YAML: {problem}",
                code="yaml-invalid",
                place=f"{path}{where}",
                remedy="mend the file, or copy it from the model's archive again",
            ) from error
        if not isinstance(values, dict):
            raise InputError(
                f"the configuration is {kind(values)}, not a mapping of fields",
                code="yaml-invalid",
                place=str(path),
                remedy="copy the file from the model's archive again",
            )
        return cls(path, text, values)

    def place(self, keys: Keys) -> str:
        """``file:line:column`` of the deepest of ``keys`` that the file has."""
        node = YAML(typ="safe", pure=True).compose(self.text)
        mark = node.start_mark
        for key in keys:
            if isinstance(node, MappingNode):
                found = [(k, v) for k, v in node.value if k.value == str(key)]
                if not found:
                    break
                mark, node = found[0][0].start_mark, found[0][1]
            elif isinstance(node, SequenceNode) and isinstance(key, int):
                node = node.value[key]
                mark = node.start_mark
        return f"{self.path}:{mark.line + 1}:{mark.column + 1}"

    def with_named(self, weights: Path) -> tuple[Path, ...]:
        """The file itself, those that a ``model.yaml`` names beside it, and the weights."""
        named = map(self.values.get, ("vocab_filepath", "preprocess_config"))
        folder = self.path.parent
        beside = [folder / name for name in named if isinstance(name, str)]
        return (self.path, *(path for path in beside if path.is_file()), weights)

    def error(self, keys: Keys, message: str, *, code: str, remedy: str) -> InputError:
        """An error that points at ``keys``."""
        return InputError(message, code=code, place=self.place(keys), remedy=remedy)


class Section:
    """One mapping of a document, read field by field.

    Errors are kept until :meth:`finish`; a number that is wrong reads as 0 till then.
    """

    def __init__(self, document: Document, keys: Keys, values: Any) -> None:
        self.document = document
        self.keys = keys
        self.problems = Problems()
        self.seen: set[str] = set()
        if values is None:
            values = {}
        if not isinstance(values, dict):
            raise document.error(
                keys,
                f"{dotted(keys)} is {kind(values)}, not a mapping of fields",
                code="config-type",
                remedy="copy the file from the model's archive again",
            )
        self.values: Mapping[str, Any] = values

    def integer(self, name: str, default: Any = _REQUIRED, *, minimum: int = 1) -> int:
        """A whole number of at least ``minimum``."""
        value = self._get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            self._wrong(name, value, f"a whole number of {minimum} or more")
            return 0
        return value

    def number(self, name: str, default: Any = _REQUIRED) -> float:
        """A number of at least 0."""
        value = self._get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            self._wrong(name, value, "a number of 0 or more")
            return 0.0
        return float(value)

    def boolean(self, name: str, default: bool) -> bool:
        """``true`` or ``false``."""
        value = self._get(name, default)
        if isinstance(value, str):
            value = _BOOLEANS.get(value.lower(), value)
        if not isinstance(value, bool):
            self._wrong(name, value, "true or false")
            return default
        return value

    def choice(self, name: str, default: Any, supported: Sequence[str], what: str) -> str:
        """One of the ``supported`` words; ``what`` says what cannot be read otherwise."""
        value = self._get(name, default)
        if value not in supported:
            self.fail(
                name,
                f"{dotted((*self.keys, name))} is {value!r}; this version reads {what} "
                f"{' or '.join(supported)}" + did_you_mean(str(value), supported),
                code="unsupported-model",
                remedy="choose a model that this version reads, or mend the value",
            )
            return supported[0]
        return str(value)

    def skip(self, *names: str) -> None:
        """Names that are known and do not matter at inference."""
        self.seen.update(names)

    def fail(self, name: str, message: str, *, code: str, remedy: str) -> None:
        """Notes an error at a field."""
        with self.problems.gather():
            raise self.document.error((*self.keys, name), message, code=code, remedy=remedy)

    def finish(self) -> None:
        """Refuses fields that nothing has asked for, and raises what was noted."""
        for name in self.values:
            if name not in self.seen:
                self.fail(
                    name,
                    f"{dotted((*self.keys, name))} is not a field that PaddleSpeech has here"
                    + did_you_mean(str(name), self.seen),
                    code="config-unknown-field",
                    remedy="mend the name or remove the field",
                )
        self.problems.raise_if_any()

    def _get(self, name: str, default: Any) -> Any:
        self.seen.add(name)
        return self.values.get(name, default)

    def _wrong(self, name: str, value: Any, wanted: str) -> None:
        path = dotted((*self.keys, name))
        if value is _REQUIRED:
            self.fail(
                name,
                f"{path} is missing",
                code="config-missing-field",
                remedy=f"add it: {wanted}, as the model was trained",
            )
        else:
            self.fail(
                name,
                f"{path} is {value!r}, not {wanted}",
                code="config-type",
                remedy="set it to what the model was trained with",
            )


def dotted(keys: Keys) -> str:
    """``encoder_conf.output_size``, ``preprocess_config.process[0]``."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text or "the configuration"


def kind(value: Any) -> str:
    """The type of a YAML value, in words."""
    names = {dict: "a mapping", list: "a list", str: "text", type(None): "empty"}
    return names.get(type(value), f"of type {type(value).__name__}")


def read_text(path: Path, what: str) -> str:
    """A UTF-8 file's text.

    Raises:
        InputError: missing, unreadable or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(
            f"cannot read the {what}: {cause}",
            code=f"{what.split()[0]}-unreadable",
            place=str(path),
            remedy="check that the model directory is complete, as its archive unpacks it",
        ) from error
