"""A graph as Paddle Inference files: ``NAME.json`` (PIR) and ``NAME.pdiparams``.

Read and written without Paddle, so that the same graph gives the same bytes. The parameters file
has no names: its tensors are in the order of the parameters' sorted names. Each is a version
(uint32, 0), a count of levels of detail (uint64, 0), a version (uint32, 0), the size of a
``TensorDesc`` message (int32), that message, and the numbers. Sources, Paddle 3.1:
``phi/core/framework/dense_tensor_serialize.cc``, ``fluid/framework/framework.proto``,
``fluid/pir/serialize_deserialize``.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.errors import InputError

# VarType.Type of framework.proto, and the program's name of the type.
_CODES: Mapping[int, tuple[np.dtype[Any], str]] = {
    2: (np.dtype(np.int32), "0.t_i32"),
    3: (np.dtype(np.int64), "0.t_i64"),
    4: (np.dtype(np.float16), "0.t_f16"),
    5: (np.dtype(np.float32), "0.t_f32"),
    21: (np.dtype(np.int8), "0.t_i8"),
}
_HEAD = struct.Struct("<IQIi")
_TYPE, _DIM = 0x08, 0x10  # fields 1 and 2 of TensorDesc, as varints
_MAX_DESCRIPTION = 1024

Operator = dict[str, Any]
Buffer = bytes | memoryview


class Program:
    """A program and its parameters.

    Attributes:
        parameters: by name.
    """

    def __init__(self, tree: dict[str, Any], parameters: dict[str, NDArray[Any]]) -> None:
        self._tree = tree
        self._last = max(_numbers(tree["program"]), default=0)
        self.parameters = parameters

    @classmethod
    def load(cls, path: Path) -> Program:
        """Reads a graph.

        Args:
            path: without suffix.

        Raises:
            InputError: a file is missing or damaged, or the two are not of one graph.
        """
        try:
            tree = path.with_name(f"{path.name}.json").read_bytes()
            data = path.with_name(f"{path.name}.pdiparams").read_bytes()
        except OSError as error:
            raise _unreadable(path, error) from error
        return cls.parse(tree, data, path)

    @classmethod
    def parse(cls, tree: Buffer, data: Buffer, path: Path) -> Program:
        """Reads a graph from its two files' bytes; parameters are views of ``data``.

        Args:
            path: what an error calls it.

        Raises:
            InputError: as :meth:`load`.
        """
        try:
            program = cls(json.loads(bytes(tree)), {})
            names = sorted(operator["A"][3] for operator in program._declared())
            program.parameters = dict(zip(names, read_tensors(data), strict=True))
            for operator in program._declared():
                program._check(operator)
        except (ValueError, LookupError, TypeError, OverflowError, struct.error) as error:
            raise _unreadable(path, error) from error
        return program

    def save(self, path: Path) -> None:
        """Writes both files. ``path`` is without suffix."""
        text = json.dumps(self._tree, separators=(",", ":"), ensure_ascii=False)
        path.with_name(f"{path.name}.json").write_text(text, encoding="utf-8")
        with path.with_name(f"{path.name}.pdiparams").open("wb") as stream:
            for _, array in sorted(self.parameters.items()):
                stream.write(_head(array) + np.ascontiguousarray(array).tobytes())

    @property
    def operators(self) -> list[Operator]:
        """In the order they run, parameters first."""
        (block,) = self._tree["program"]["regions"][0]["blocks"]
        operators: list[Operator] = block["ops"]
        return operators

    def name_outputs(self, names: Iterable[str]) -> None:
        """Gives the outputs names, in their order."""
        fetched = [operator for operator in self.operators if operator["#"] == "1.fetch"]
        for operator, name in zip(fetched, names, strict=True):
            operator["A"][0]["AT"]["D"] = name

    def readers(self, name: str) -> list[tuple[Operator, int]]:
        """The operators that take a parameter, each with the place among its inputs."""
        (value,) = (item["O"]["%"] for item in self._declared() if item["A"][3] == name)
        return self.users(value)

    def users(self, value: int) -> list[tuple[Operator, int]]:
        """As :meth:`readers`, of any value by its number."""
        return [
            (operator, place)
            for operator in self.operators
            for place, given in enumerate(operator.get("I", ()))
            if given["%"] == value
        ]

    def maker(self, value: int) -> Operator:
        """The operator that gives a value."""
        return next(item for item in self.operators if value in _given(item))

    def parameter(self, value: int) -> str | None:
        """The name of the parameter that a value is; None where it is none."""
        maker = self.maker(value)
        return str(maker["A"][3]) if maker["#"] == "p" else None

    def store(self, name: str, array: NDArray[Any]) -> None:
        """Replaces a parameter's numbers; shape and type stay."""
        before = self.parameters[name]
        self.parameters[name] = array.reshape(before.shape).astype(before.dtype)

    def convert(self, name: str, array: NDArray[Any], scale: NDArray[np.float32] | None) -> None:
        """Stores a parameter in another type, and has the program make fp32 of it again.

        Paddle folds that when it loads the graph, so running it costs nothing.

        Args:
            array: of the parameter's shape.
            scale: what its numbers are multiplied by; stored as ``NAME_scale``.
        """
        (declared,) = (item for item in self._declared() if item["A"][3] == name)
        readers = self.readers(name)
        operators = self.operators
        added = [_cast(declared, self._fresh())]
        self._set(declared, name, array)
        if scale is not None:
            declaration = deepcopy(declared)
            declaration["A"][3] = f"{name}_scale"
            declaration["O"]["%"] = self._fresh()
            self._set(declaration, f"{name}_scale", scale)
            added.append(_multiply(added[0], declaration, self._fresh()))
            operators.insert(0, declaration)
        last = max(place for place, item in enumerate(operators) if item["#"] == "p")
        operators[last + 1 : last + 1] = added
        for operator, place in readers:
            operator["I"][place]["%"] = added[-1]["O"][0]["%"]

    def _declared(self) -> Iterator[Operator]:
        """What is stored; the others (an RNN's state of dropout) are made when it is loaded."""
        return (item for item in self.operators if item["#"] == "p" and item["OA"][0])

    def _set(self, declared: Operator, name: str, array: NDArray[Any]) -> None:
        self.parameters[name] = array
        _, (kind, word) = _code(array.dtype)
        assert kind == array.dtype
        described = declared["O"]["TT"]["D"]
        described[0], described[1] = {"#": word}, list(array.shape)

    def _check(self, declared: Operator) -> None:
        name, (word, shape, *_) = declared["A"][3], declared["O"]["TT"]["D"]
        array = self.parameters[name]
        if list(array.shape) != shape or _code(array.dtype)[1][1] != word["#"]:
            raise ValueError(f"{name} is {array.dtype}{list(array.shape)} in the parameters' file")

    def _fresh(self) -> int:
        """A number that no value of the program has."""
        self._last += 1
        return self._last


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"the graph cannot be read: {type(error).__name__}: {error}",
        code="paddle-unreadable",
        place=str(path),
        remedy="build again with `--force` and the stage that wrote it",
    )


def _given(operator: Operator) -> list[int]:
    made = operator["O"]
    return [value["%"] for value in (made if isinstance(made, list) else [made])]


def _numbers(tree: Any) -> Iterator[int]:
    """Of all values, those in the blocks of operators too."""
    for item in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(item, dict | list):
            yield from _numbers(item)
    if isinstance(tree, dict) and "%" in tree:
        yield tree["%"]


def _code(dtype: np.dtype[Any]) -> tuple[int, tuple[np.dtype[Any], str]]:
    return next((code, known) for code, known in _CODES.items() if known[0] == dtype)


def _value(number: int, shape: Iterable[int]) -> dict[str, Any]:
    described = [{"#": "0.t_f32"}, list(shape), "NCHW", [], 0]
    return {"%": number, "TT": {"#": "0.t_dtensor", "D": described}}


_NO_GRADIENT = [
    {"AT": {"#": "0.a_array", "D": [{"#": "0.a_bool", "D": True}]}, "N": "stop_gradient"}
]


def _cast(declared: Operator, number: int) -> Operator:
    """fp32 of a parameter."""
    return {
        "#": "1.cast",
        "A": [{"AT": {"#": "1.a_dtype", "D": "float32"}, "N": "dtype"}],
        "I": [{"%": declared["O"]["%"]}],
        "O": [_value(number, declared["O"]["TT"]["D"][1])],
        "OA": _NO_GRADIENT,
    }


def _multiply(cast: Operator, scale: Operator, number: int) -> Operator:
    made = cast["O"][0]
    return {
        "#": "1.multiply",
        "A": [],
        "I": [{"%": made["%"]}, {"%": scale["O"]["%"]}],
        "O": [_value(number, made["TT"]["D"][1])],
        "OA": _NO_GRADIENT,
    }


def read_tensors(data: Buffer) -> Iterator[NDArray[Any]]:
    """The tensors of a ``.pdiparams`` file, in its order; they have no names there.

    Raises:
        ValueError, OverflowError, struct.error: it is damaged, or has numbers of another type.
    """
    at = 0
    while at < len(data):
        version, levels, again, size = _HEAD.unpack_from(data, at)
        if version or levels or again:
            raise ValueError(f"no plain tensor at byte {at}")
        at += _HEAD.size
        if not 0 <= size <= _MAX_DESCRIPTION:
            raise ValueError(f"a tensor's description of {size} bytes, before byte {at}")
        code, dims = _described(bytes(data[at : at + size]))
        at += size
        if code not in _CODES:
            raise ValueError(f"numbers of Paddle's type {code}, which is not read here")
        kind, _ = _CODES[code]
        count = math.prod(dims)
        yield np.frombuffer(data, kind, count, at).reshape(dims)
        at += count * kind.itemsize


def _described(message: bytes) -> tuple[int, list[int]]:
    """Type and dimensions of a ``TensorDesc``."""
    numbers = list(_varints(message))
    fields = list(zip(numbers[::2], numbers[1::2], strict=True))
    (code,) = (value for tag, value in fields if tag == _TYPE)
    return code, [value for tag, value in fields if tag == _DIM]


def _varints(data: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0


def _head(array: NDArray[Any]) -> bytes:
    message = bytes([_TYPE]) + _varint(_code(array.dtype)[0])
    for dim in array.shape:
        message += bytes([_DIM]) + _varint(dim)
    return _HEAD.pack(0, 0, 0, len(message)) + message


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
