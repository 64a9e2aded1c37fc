"""encrypt: the model's files under an envelope for the recipients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from asrpack.bundle.keys import recipient_public, signing_public
from asrpack.bundle.model import GOLDEN_FILE, NGRAM_FILE
from asrpack.protect.encrypt import encrypt_files
from asrpack.stages import stage


class EncryptParams(stage.Params):
    """Public keys in PEM; nothing here is secret.

    Attributes:
        recipients: each one's public key.
        signer: the vendor's public signing key; :class:`asrpack.stages.seal.Seal` must sign
            with its private half.
    """

    recipients: tuple[str, ...]
    signer: str


class Encrypt(stage.Stage):
    """Leaves ``model/<file>.enc`` for each graph and the description, and the envelope.

    Data keys and the bundle's id are fresh in each run.
    """

    name = "encrypt"
    revision: ClassVar[int] = 2
    outputs = ("model",)
    tools = ("cryptography",)
    fresh = "data keys and the bundle's id are fresh"
    Params: ClassVar[type[stage.Params]] = EncryptParams

    def run(
        self, params: EncryptParams, inputs: Mapping[str, Path], out: Path, context: stage.Context
    ) -> None:
        """Inputs: ``graphs`` (folder), ``description``, perhaps ``language_model``, ``golden``."""
        signer = signing_public(params.signer.encode(), "the signer's public key")
        recipients = [
            recipient_public(text.encode(), f"recipient {number}")
            for number, text in enumerate(params.recipients, 1)
        ]
        files: dict[str, bytes | Path] = {
            path.name: path for path in sorted(inputs["graphs"].iterdir())
        }
        files["model.json"] = inputs["description"]
        if "language_model" in inputs:
            files[NGRAM_FILE] = inputs["language_model"]
        if "golden" in inputs:
            files[GOLDEN_FILE] = inputs["golden"]
        (out / "model").mkdir()
        encrypt_files(files, recipients, signer.public_bytes, out / "model")
