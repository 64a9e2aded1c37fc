"""Golden utterances: recordings with the text that the vendor's own build host recognised.

They ship encrypted beside the model, so that a host can tell whether its CPU computes the same.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from asrpack.bundle.model import DECODE_METHODS, GOLDEN_FILE
from asrpack.bundle.verify import FormatError, canonical_base64, check_shape, strict_json
from asrpack.errors import IntegrityError
from asrpack.runtime.audio import read_audio
from asrpack.runtime.recognizer import Recognizer

FORMAT = "asrpack-golden/1"
MAX_BYTES = 64 << 20
_CODE = "golden-format"
_SHAPE = {"format": str, "host": str, "utterances": [{"audio": str, "texts": dict}]}


@dataclass(frozen=True)
class GoldenUtterance:
    """A recording, as its file has it, and its text by decoding method."""

    audio: bytes
    texts: Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """A text that is another one here. ``number`` is the utterance's, from 1."""

    number: int
    method: str
    recorded: str
    here: str


@dataclass(frozen=True)
class Golden:
    """All of a bundle's.

    Attributes:
        host: what they were recognised on, in words.
    """

    host: str
    utterances: tuple[GoldenUtterance, ...]

    def to_json(self) -> bytes:
        """Reads back with :meth:`from_json`."""
        utterances = [
            {"audio": base64.b64encode(item.audio).decode(), "texts": dict(item.texts)}
            for item in self.utterances
        ]
        raw = {"format": FORMAT, "host": self.host, "utterances": utterances}
        return json.dumps(raw, ensure_ascii=False, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Golden:
        """Reads what :meth:`to_json` wrote.

        Raises:
            IntegrityError: it is something else.
        """
        try:
            raw = strict_json(data, MAX_BYTES)
            check_shape(raw, _SHAPE, "it", _CODE)
            if raw["format"] != FORMAT:
                raise FormatError(_CODE, f"its format is not {FORMAT}")
            found = tuple(_utterance(item) for item in raw["utterances"])
        except FormatError as error:
            raise IntegrityError(
                f"the golden utterances cannot be used: {error}",
                code=error.code,
                place=GOLDEN_FILE,
                remedy="use the runtime inside the bundle, or get the bundle again",
            ) from None
        return cls(raw["host"], found)

    def differences(self, recognizer: Recognizer) -> Iterator[Difference]:
        """The texts that ``recognizer`` has otherwise.

        Raises:
            AsrpackError: it cannot recognise them.
        """
        rate = recognizer.description.sample_rate
        for number, item in enumerate(self.utterances, 1):
            encoded = recognizer.encode(recognizer.features(read_audio(item.audio, rate)))
            for method, recorded in sorted(item.texts.items()):
                here = recognizer.decode(encoded, method).text
                if here != recorded:
                    yield Difference(number, method, recorded, here)


def _utterance(raw: Mapping[str, object]) -> GoldenUtterance:
    texts = raw["texts"]
    assert isinstance(texts, dict)  # check_shape
    if not set(texts) <= set(DECODE_METHODS) or not all(type(v) is str for v in texts.values()):
        raise FormatError(_CODE, "the texts must be by decoding method")
    return GoldenUtterance(canonical_base64(str(raw["audio"]), "the audio", _CODE), texts)
