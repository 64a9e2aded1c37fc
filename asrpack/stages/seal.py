"""seal: tree and model put together and signed, then verified as a customer would."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from asrpack.bundle.envelope import ENVELOPE_FILE, Envelope
from asrpack.bundle.keys import post_quantum_private, public_pem, signing_private
from asrpack.bundle.metadata import BundleMetadata
from asrpack.bundle.opening import check_bundle
from asrpack.bundle.verify import METADATA_FILE
from asrpack.errors import InputError, KeyFileError
from asrpack.protect.sign import sign_tree
from asrpack.protect.trust import add_signer, new_policy, policy_bytes
from asrpack.report.wheels import FOLDER as WHEELS
from asrpack.stages import stage


class Seal(stage.Stage):
    """Leaves ``bundle/``: what goes to the customer.

    Signs with the secret ``key``, and with ``post_quantum`` where there is one.
    """

    name = "seal"
    outputs = ("bundle",)
    tools = ("cryptography",)
    fresh = "it is signed anew"

    def run(
        self, params: stage.Params, inputs: Mapping[str, Path], out: Path, context: stage.Context
    ) -> None:
        """Inputs: ``tree``, ``model`` (of encrypt), perhaps ``wheels``.

        Raises:
            KeyFileError: the key is not the one that the envelope names as its signer.
            InputError: the tree has no metadata, or that of another bundle.
        """
        key = signing_private(context.secrets["key"], "the signing key")
        bundle = out / "bundle"
        _copy(inputs["tree"], bundle)
        for name in ("model", WHEELS):
            if name in inputs:
                _copy(inputs[name], bundle / name)
        header = Envelope.from_json((bundle / ENVELOPE_FILE).read_bytes()).header
        if header.signer != key.public_bytes:
            raise KeyFileError(
                f"the signing key {key.fingerprint} is not the one the envelope was made for",
                code="signer-mismatch",
                place="the signing key",
                remedy="sign with the key whose public half was given to encrypt",
            )
        if not (bundle / METADATA_FILE).is_file():
            raise InputError(
                "the tree has no asrpack.json",
                code="metadata-missing",
                place=str(inputs["tree"]),
                remedy="render it first",
            )
        metadata = BundleMetadata.from_json((bundle / METADATA_FILE).read_bytes())
        if metadata.bundle_id != header.bundle_id:
            raise InputError(
                f"asrpack.json is of bundle {metadata.bundle_id}, the model of {header.bundle_id}",
                code="metadata-bundle-id",
                place=METADATA_FILE,
                remedy="render it again for this model",
            )
        secret = context.secrets.get("post_quantum")
        also = [post_quantum_private(secret, "the post-quantum key")] if secret else []
        name = f"{metadata.name}-{metadata.version}-{metadata.build}"
        sign_tree(bundle, key, name, also).chmod(0o644)
        policy = new_policy()
        add_signer(policy, "vendor", public_pem(key), public_pem(also[0]) if also else None)
        check_bundle(bundle, [policy_bytes(policy)])


def _copy(source: Path, target: Path) -> None:
    """Copies contents only: directories 0755, files 0644, no hard link to the source."""
    target.mkdir()
    target.chmod(0o755)
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        copy = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            _copy(Path(entry.path), copy)
        elif not entry.is_file(follow_symlinks=False):
            raise InputError(
                "a bundle holds files and folders only, no links",
                code="special-file",
                place=entry.path,
                remedy="put the file itself there",
            )
        else:
            shutil.copyfile(entry.path, copy)
            copy.chmod(0o644)
