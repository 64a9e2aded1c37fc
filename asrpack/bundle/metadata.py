"""``asrpack.json``: what a bundle says it is. Signed with the rest, never encrypted."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from asrpack.bundle.envelope import UUID
from asrpack.bundle.provider import ProviderSpec
from asrpack.bundle.verify import (
    BUNDLE_FORMAT,
    FormatError,
    canonical_json,
    check_shape,
    strict_json,
)
from asrpack.errors import InputError, IntegrityError

_HEX = re.compile(r"[0-9a-f]{64}")
_SHAPE = {
    "format": str,
    "bundle_id": str,
    "name": str,
    "version": str,
    "build": str,
    "asrpack": str,
    "created": str,
    "target": str,
    "precision": str,
    "model": {"family": str, "sample_rate": int, "vocabulary_size": int, "decode_method": str},
    "files": dict,
    "minimum_runtime": str,
    "recipients": [str],
    "sequence": int,
}
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
LATEST_SECOND = 253402300799  # the last second of the year 9999


@dataclass(frozen=True)
class ModelSummary:
    """What a customer may know of the model without its key.

    Attributes:
        family: the frontend that read it, e.g. ``paddlespeech_u2``.
        sample_rate: in Hz.
        vocabulary_size: output units.
        decode_method: the default one.
    """

    family: str
    sample_rate: int
    vocabulary_size: int
    decode_method: str


@dataclass(frozen=True)
class BundleMetadata:
    """The fields of ``asrpack.json``; the file carries ``format`` besides.

    Attributes:
        bundle_id: UUID (version 4), the same as in the envelope.
        name, version, build: as the recipe gives them.
        asrpack: version of asrpack that built it.
        created: UTC, ``2026-01-31T12:00:00Z`` (see :func:`utc`).
        target: e.g. ``onnxruntime``.
        precision: ``fp32``, ``fp16``, ``int8`` or ``int4``.
        files: role of the files that matter, by path: ``{"model/encoder.onnx.enc": "encoder"}``.
        watermark: commitment to the mark (SHA-256, hexadecimal), or None.
        minimum_runtime: the oldest asrpack whose runtime may run this model.
        recipients: key ids, sorted.
        sequence: grows with every bundle of a name: a lower one is a roll-back.
        provider: of ONNX Runtime, where ``target`` names one; None, and not in the file, else.
    """

    bundle_id: str
    name: str
    version: str
    build: str
    asrpack: str
    created: str
    target: str
    precision: str
    model: ModelSummary
    files: Mapping[str, str]
    watermark: str | None
    minimum_runtime: str
    recipients: tuple[str, ...]
    sequence: int
    provider: ProviderSpec | None = None

    def to_json(self) -> bytes:
        """Canonical JSON.

        Raises:
            InputError: a field that :meth:`from_json` would refuse.
        """
        raw = {"format": BUNDLE_FORMAT, **self.as_dict()}
        data = canonical_json(raw)
        try:
            _parse(data)
        except FormatError as error:
            raise InputError(
                str(error), code="metadata", place="asrpack.json", remedy="correct the recipe"
            ) from None
        return data

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        raw = {**asdict(self), "files": dict(self.files)}
        if self.provider is None:
            del raw["provider"]
        else:
            raw["provider"] = self.provider.as_dict()
        return raw

    @classmethod
    def from_json(cls, data: bytes, place: str = "asrpack.json") -> BundleMetadata:
        """Reads what :meth:`to_json` wrote.

        Raises:
            IntegrityError: another format, or a field missing, unknown or of another type.
        """
        try:
            return _parse(data)
        except FormatError as error:
            raise IntegrityError(
                f"the bundle's metadata cannot be used: {error}",
                code="metadata-" + error.code.removeprefix("metadata-"),
                place=place,
                remedy="use the version of asrpack that made the bundle, or get it again",
            ) from None


def utc(seconds: int) -> str:
    """Unix seconds as ``created`` has them."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_TIME_FORMAT)


def unix_seconds(text: str) -> int:
    """What :func:`utc` made ``text`` of.

    Raises:
        ValueError: it is not exactly such a time, or before 1970.
    """
    seconds = int(datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC).timestamp())
    if seconds < 0 or utc(seconds) != text:
        raise ValueError(text)
    return seconds


def day_or_time(text: str, of_day: int) -> int:
    """Unix seconds of a time as :func:`utc` writes it, or of a day like ``2026-01-31``.

    Args:
        of_day: seconds from a day's begin to what is meant.

    Raises:
        ValueError: it is neither.
    """
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return unix_seconds(f"{text}T00:00:00Z") + of_day
    return unix_seconds(text)


def build_time(environment: Mapping[str, str] | None = None) -> int:
    """Unix seconds of the build: ``SOURCE_DATE_EPOCH`` where it is set, else now.

    Raises:
        InputError: ``SOURCE_DATE_EPOCH`` is not a number of seconds.
    """
    text = (os.environ if environment is None else environment).get("SOURCE_DATE_EPOCH")
    if text is None:
        return int(time.time())
    if not re.fullmatch("[0-9]{1,12}", text) or int(text) > LATEST_SECOND:
        raise InputError(
            f"SOURCE_DATE_EPOCH is {text!r}, not a number of seconds since 1970",
            code="source-date-epoch",
            place="environment",
            remedy="set it to e.g. $(git log -1 --format=%ct), or unset it",
        )
    return int(text)


def _parse(data: bytes) -> BundleMetadata:
    code = "metadata-format"
    raw = strict_json(data)
    if type(raw) is not dict or raw.get("format") != BUNDLE_FORMAT:
        raise FormatError(code, f"its format is not {BUNDLE_FORMAT}")
    watermark = str if raw.get("watermark") is not None else type(None)
    # Absent from bundles for CPUs, which older versions read, too.
    provider = ProviderSpec.from_dict(raw.pop("provider")) if "provider" in raw else None
    check_shape(raw, {**_SHAPE, "watermark": watermark}, "the metadata", code)
    _check_values(raw)
    del raw["format"]
    raw |= {"model": ModelSummary(**raw["model"]), "recipients": tuple(raw["recipients"])}
    return BundleMetadata(**raw, provider=provider)


def _check_values(raw: dict[str, Any]) -> None:
    code = "metadata-format"
    if not UUID.fullmatch(raw["bundle_id"]):
        raise FormatError(code, "bundle_id is not a UUID of version 4 in lower case")
    try:
        unix_seconds(raw["created"])
    except ValueError:
        message = "created is not a UTC time like 2026-01-31T12:00:00Z"
        raise FormatError(code, message) from None
    if raw["watermark"] is not None and not _HEX.fullmatch(raw["watermark"]):
        raise FormatError(code, "watermark is neither null nor a SHA-256 in lower case")
    recipients = raw["recipients"]
    if not all(_HEX.fullmatch(item) for item in recipients) or recipients != sorted(
        set(recipients)
    ):
        raise FormatError(code, "recipients are not key ids, sorted, each once")
    if not all(type(role) is str for role in raw["files"].values()):
        raise FormatError(code, "files must give each path a role")
    if raw["sequence"] < 0:
        raise FormatError(code, "sequence is negative")
