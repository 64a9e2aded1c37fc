"""asrpack as the OMS conformance suite calls it: ``python -m tests.oms.adapter VERB …``.

The suite is github.com/sampras343/model-signing-conformance; its protocol has two verbs,
``sign-model`` and ``verify-model``, and looks at the exit code. asrpack signs with keys only, and
its verifier takes bundles of its own only, with the signature in them, canonical JSON and no
ignored paths: docs/format.md says which of the suite's cases that leaves.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from asrpack.bundle.keys import signing_private
from asrpack.bundle.verify import SIGNATURE_FILE, FormatError, RefusedError, verify_bundle
from asrpack.errors import AsrpackError
from asrpack.protect.sign import sign_tree

# A model is no bundle: it has no asrpack.json. All else must be as in one.
_ALLOWED = {"not-a-bundle"}
_UNSUPPORTED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 where it signed or accepted, 1 where it refused, 2 where it has not that method."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("sign-model", "verify-model"):
        verb = verbs.add_parser(name)
        verb.add_argument("--method", required=True)
        verb.add_argument("--model-path", type=Path, required=True)
        verb.add_argument("--ignore-paths", type=Path, action="append", default=[])
        verb.add_argument("--ignore-unsigned-files", action="store_true")
        verb.add_argument("--output-bundle" if name == "sign-model" else "--bundle", type=Path)
        verb.add_argument("--private-key", type=Path)
        verb.add_argument("--public-key", type=Path)
    options, _ = parser.parse_known_args(arguments)
    if options.method != "key" or options.ignore_unsigned_files:
        return _UNSUPPORTED
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / options.model_path.name
        skipped = {path.resolve() for path in options.ignore_paths}
        _copy(options.model_path, tree, skipped)
        try:
            if options.verb == "sign-model":
                _sign(tree, options.private_key, options.output_bundle)
            else:
                _verify(tree, options.public_key, options.bundle)
        except (AsrpackError, FormatError, RefusedError, OSError) as refused:
            sys.stderr.write(f"{refused}\n")
            return 1
    return 0


def _copy(model: Path, tree: Path, skipped: set[Path]) -> None:
    """The model with the modes of a bundle, without what is ignored or a signature in it."""
    if model.is_file():
        tree.mkdir()
        shutil.copyfile(model, tree / model.name)
        return

    def ignored(folder: str, names: list[str]) -> set[str]:
        here = Path(folder)
        return {
            name
            for name in names
            if (here / name).resolve() in skipped
            or name.endswith(".sig")
            or name.startswith(".git")
        }

    shutil.copytree(model, tree, symlinks=True, ignore=ignored, copy_function=shutil.copyfile)


def _sign(tree: Path, key: Path, output: Path) -> None:
    if not any(tree.iterdir()):
        raise FormatError("manifest-length", "there is nothing to sign")
    sign_tree(tree, signing_private(key.read_bytes(), str(key)), tree.name)
    shutil.copyfile(tree / SIGNATURE_FILE, output)


def _verify(tree: Path, key: Path, signature: Path) -> None:
    shutil.copyfile(signature, tree / SIGNATURE_FILE)
    try:
        verify_bundle(tree, [key.read_bytes()])
    except RefusedError as refused:
        if findings := [item for item in refused.findings if item.code not in _ALLOWED]:
            raise RefusedError(findings) from None


if __name__ == "__main__":
    sys.exit(main())
