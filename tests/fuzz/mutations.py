"""Changes of JSON documents that keep them JSON, so that they come past the parser.

Documents within documents too: a field of base64 that holds JSON is changed inside.
"""

from __future__ import annotations

import base64
import binascii
import json
import random
from typing import Any

from asrpack.bundle.verify import MAX_INTEGER

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, MAX_INTEGER, MAX_INTEGER + 1, 2**31, 2**63, 2**64, 10**40, 0.5,
    "", "A", "AA==", "AB==", "../x", "/abs", "a//b", "C:x", "CON", "a\u0000b", "\u202e", "e\u0301",
    "\ud800", "0" * 64, "F" * 64, "x" * 4000, "2026-13-45T99:99:99Z", "9999-12-31T23:59:59Z",
    [], {}, [[]], {"a": {}},
)  # fmt: skip
MAX_STEPS = 4


def mutate(data: bytes, draw: random.Random) -> bytes | None:
    """``data`` with one to four places changed; None where it is not JSON."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, (dict, list)):
        return None
    for _ in range(draw.randint(1, MAX_STEPS)):
        _change(value, draw)
    try:
        return json.dumps(
            value, sort_keys=True, ensure_ascii=False, separators=(",", ":")
        ).encode("utf-8", "surrogatepass")  # fmt: skip
    except (TypeError, ValueError):
        return None


def _change(value: Any, draw: random.Random) -> None:
    """Walks down at random, changes one place."""
    while True:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not places or draw.random() < 0.08:
            _grow(value, draw)
            return
        place = draw.choice(places)
        inner = value[place]
        if isinstance(inner, (dict, list)) and draw.random() < 0.85:
            value = inner
            continue
        if isinstance(inner, str) and draw.random() < 0.7 and (within := _within(inner, draw)):
            value[place] = within
        elif draw.random() < 0.15:
            del value[place]
        elif draw.random() < 0.2 and isinstance(value, list):
            value.insert(place, json.loads(json.dumps(draw.choice(value))))
        else:
            value[place] = _other(inner, draw)
        return


def _within(text: str, draw: random.Random) -> str | None:
    try:
        changed = mutate(base64.b64decode(text, validate=True), draw)
    except (binascii.Error, ValueError):
        return None
    return changed and base64.b64encode(changed).decode()


def _other(value: Any, draw: random.Random) -> Any:
    kind = draw.random()
    if isinstance(value, int) and kind < 0.4:
        return value + draw.choice((-1, 1, 1 << draw.randint(0, 62)))
    if isinstance(value, str) and value and kind < 0.6:
        cut = draw.randrange(len(value))
        piece = draw.choice(("", value[cut], "0", "=", "\u00e9", value[:8]))
        return value[:cut] + piece + value[cut + draw.randint(0, 2) :]
    return json.loads(json.dumps(draw.choice(HOSTILE)))


def _grow(value: Any, draw: random.Random) -> None:
    new = json.loads(json.dumps(draw.choice(HOSTILE)))
    if isinstance(value, dict):
        value[draw.choice(("", "x", "format", "size", "path", "\u202e"))] = new
    else:
        value.append(new)
