"""``asrpack trust``: the host's trust policy, which verify and run go by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrpack.cli.apps import new_group
from asrpack.cli.options import Json

if TYPE_CHECKING:
    from asrpack.bundle.verify import Policy
    from asrpack.protect.trust import Document

PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="The policy. Default: $ASRPACK_TRUST, else /etc/asrpack/trust.json.",
        show_default=False,
    ),
]
PublicKey = Annotated[
    Path, typer.Argument(metavar="PUBLIC_KEY", help="A public key's file.", show_default=False)
]

trust = new_group(
    "Say whose bundles this host runs: its trust policy. Every verb but show changes the file "
    "in one step, and prints what it says then."
)


@trust.command()
def init(policy: PolicyFile = None, as_json: Json = False) -> None:
    """Make a policy that trusts nobody yet."""
    from asrpack.protect.trust import new_policy, write_document

    path = _path(policy)
    document = new_policy()
    _print(path, document, write_document(path, document, new=True), as_json)


@trust.command()
def add(
    key: PublicKey,
    name: Annotated[
        str | None, typer.Option(help="Whose it is. Default: the file's name.", show_default=False)
    ] = None,
    post_quantum: Annotated[
        Path | None,
        typer.Option(
            metavar="PUBLIC_KEY",
            help="Their ML-DSA-65 key: bundles must be signed with it, too.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DATE",
            help='For bundles created from that day on; "none" lifts it.',
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help='For bundles created to that day, as when a key is replaced; "none" lifts it.',
            show_default=False,
        ),
    ] = None,
    policy: PolicyFile = None,
    as_json: Json = False,
) -> None:
    """Let a vendor's key sign bundles. Of a key that is there, change what is given."""
    from asrpack.protect.trust import add_signer, find_signer

    path, document = _read(policy)
    pem = _public(key)
    other = None if post_quantum is None else _public(post_quantum)
    if name is None and find_signer(document, pem) is None:
        name = key.stem
    add_signer(document, name, pem, other, since, until)
    _write(path, document, as_json)


@trust.command()
def require(
    countersigner: Annotated[
        Path | None,
        typer.Option(
            metavar="PUBLIC_KEY",
            help="Whoever must have signed besides (`asrpack sign`). Once for each.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Whose key that is: takes the place of the key of that name. Default: the file's "
            "name.",
            show_default=False,
        ),
    ] = None,
    created_since: Annotated[
        str | None,
        typer.Option(
            metavar="DATE", help='No bundle created before; "none" lifts it.', show_default=False
        ),
    ] = None,
    max_age: Annotated[
        str | None,
        typer.Option(
            metavar="DAYS",
            help='No bundle created longer ago; "none" lifts it.',
            show_default=False,
        ),
    ] = None,
    policy: PolicyFile = None,
    as_json: Json = False,
) -> None:
    """Ask more of every bundle: a further signature, or not to be old."""
    from asrpack.errors import UsageError
    from asrpack.protect.trust import require_countersigner, require_created

    if countersigner is None and created_since is None and max_age is None:
        raise UsageError(
            "nothing to require was given",
            code="usage",
            remedy="give --countersigner, --created-since or --max-age",
        )
    path, document = _read(policy)
    if countersigner is not None:
        require_countersigner(document, name or countersigner.stem, _public(countersigner))
    require_created(document, created_since, max_age)
    _write(path, document, as_json)


@trust.command()
def remove(
    name: Annotated[str, typer.Argument(help="A name of the policy.", show_default=False)],
    policy: PolicyFile = None,
    as_json: Json = False,
) -> None:
    """Take a signer or a countersigner out. A key that was lost or stolen: revoke it."""
    from asrpack.protect import trust as policies

    path, document = _read(policy)
    policies.remove(document, name)
    _write(path, document, as_json)


@trust.command()
def revoke(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY|BUNDLE…",
            help="A public key's file or id, a bundle's directory or id.",
            show_default=False,
        ),
    ],
    policy: PolicyFile = None,
    as_json: Json = False,
) -> None:
    """Refuse all that a key signed, or one bundle, whatever else the policy says."""
    from asrpack.protect import trust as policies

    path, document = _read(policy)
    for item in what:
        policies.revoke(document, _id(item))
    _write(path, document, as_json)


@trust.command()
def advance(
    bundle: Annotated[Path, typer.Argument(help="The bundle's directory.", show_default=False)],
    policy: PolicyFile = None,
    as_json: Json = False,
) -> None:
    """Verify a bundle, and refuse every older one of its name from now on."""
    from asrpack.bundle.metadata import BundleMetadata
    from asrpack.bundle.opening import check_bundle
    from asrpack.bundle.verify import METADATA_FILE
    from asrpack.protect import trust as policies

    path, document = _read(policy)
    verified = check_bundle(bundle, [policies.policy_bytes(document)])
    metadata = BundleMetadata.from_json(verified.read(METADATA_FILE))
    policies.advance(document, metadata.name, metadata.sequence)
    _write(path, document, as_json)


@trust.command()
def show(policy: PolicyFile = None, as_json: Json = False) -> None:
    """Say what the policy says."""
    from asrpack.bundle.verify import read_policy
    from asrpack.protect.trust import policy_bytes

    path, document = _read(policy)
    _print(path, document, read_policy(policy_bytes(document)), as_json)


def _path(given: Path | None) -> Path:
    from asrpack.errors import UsageError
    from asrpack.runtime.keyring import HOST_POLICY, TRUST_VARIABLE, trust_paths

    paths = [given] if given else trust_paths(()) or [HOST_POLICY]
    if len(paths) > 1:
        raise UsageError(
            f"{TRUST_VARIABLE} names {len(paths)} files",
            code="usage",
            remedy="say which one is the policy with --policy",
        )
    return paths[0]


def _read(given: Path | None) -> tuple[Path, Document]:
    from asrpack.protect.trust import read_document

    path = _path(given)
    return path, read_document(path)


def _write(path: Path, document: Document, as_json: bool) -> None:
    from asrpack.protect.trust import write_document

    _print(path, document, write_document(path, document), as_json)


def _print(path: Path, document: Document, policy: Policy, as_json: bool) -> None:
    from asrpack.bundle.verify import show as printable
    from asrpack.protect.trust import in_words

    if as_json:
        from json import dumps

        typer.echo(dumps({"file": str(path), "policy": document}, ensure_ascii=False))
        return
    typer.echo(f"{path}:")
    for line in in_words(policy):
        typer.echo(f"  {printable(line)}")


def _public(path: Path) -> bytes:
    """A public key that can sign, as asrpack writes it."""
    from asrpack.bundle.keys import any_signing_public, public_pem
    from asrpack.bundle.secrets import SecretSource

    return public_pem(any_signing_public(SecretSource("file", str(path)).read(), str(path)))


def _id(what: str) -> str:
    from asrpack.bundle.contents import read_contents
    from asrpack.bundle.verify import load_trusted_key

    path = Path(what)
    if path.is_dir():
        return str(read_contents(path)["metadata"]["bundle_id"])
    if path.is_file():
        return load_trusted_key(_public(path)).fingerprint
    return what
