"""``asrpack license``: issue, renew, show and check licences, and describe a host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asrpack.cli.apps import new_group
from asrpack.cli.options import Bundle, Identity, Json, License, SigningKey

if TYPE_CHECKING:
    from asrpack.bundle.keys import Key
    from asrpack.bundle.licence_body import Licence, LicensedBundle

license = new_group("Issue, renew, show and check licences; describe a host.")

Recipient = Annotated[
    Path,
    typer.Option(metavar="PUBLIC_KEY", help="The customer's public key.", show_default=False),
]
Escrow = Annotated[
    str,
    typer.Option(
        metavar="PRIVATE_KEY",
        help="Yours, a recipient of the bundle: a path, env:NAME or cmd:COMMAND.",
        show_default=False,
    ),
]
Output = Annotated[
    Path,
    typer.Option("-o", "--output", metavar="FILE", help="The licence.", show_default=False),
]
Days = Annotated[
    int | None,
    typer.Option(min=1, help="It holds for so many days from its begin.", show_default=False),
]
Expires = Annotated[
    str | None,
    typer.Option(
        metavar="DATE",
        help="2027-01-31, the last day in UTC; or a time, 2027-01-31T12:00:00Z.",
        show_default=False,
    ),
]
NotBefore = Annotated[
    str | None,
    typer.Option(
        metavar="DATE", help="The first day in UTC, or a time. Default: now.", show_default=False
    ),
]
MlDsa = Annotated[
    str | None,
    typer.Option(
        "--ml-dsa",
        metavar="PRIVATE_KEY",
        help="Your ML-DSA-65 key: it signs, too, for hosts that ask for that.",
        show_default=False,
    ),
]
Trust = Annotated[
    list[Path] | None,
    typer.Option(metavar="PUBLIC_KEY", help="The vendor's public key.", show_default=False),
]
RegistryFile = Annotated[
    Path | None,
    typer.Option(
        "--registry",
        metavar="FILE",
        help="Who got what; the licence is written there, too. Default: registry.sqlite beside "
        "the artifact that the bundle lies in, if there is one.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]


@license.command()
def issue(
    bundle: Bundle,
    customer: Annotated[str, typer.Option(help="The customer's id.", show_default=False)],
    recipient: Recipient,
    escrow: Escrow,
    sign: SigningKey,
    output: Output,
    days: Days = None,
    expires: Expires = None,
    not_before: NotBefore = None,
    grace: Annotated[
        int, typer.Option(min=0, metavar="DAYS", help="It works so long after its end, warning.")
    ] = 0,
    streams: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="So many recognitions at a time.", show_default=False
        ),
    ] = None,
    host: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="What `asrpack license host` printed on the customer's host; it then works on "
            "these hosts only. Repeatable.",
            show_default=False,
        ),
    ] = None,
    ml_dsa: MlDsa = None,
    registry: RegistryFile = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Issue a licence: the bundle's data keys for one customer, under terms.

    Without --days and --expires it does not end.
    """
    from asrpack.bundle.host import HostBinding
    from asrpack.bundle.licence_body import Terms
    from asrpack.bundle.metadata import build_time
    from asrpack.bundle.secrets import SecretSource
    from asrpack.cli.given_keys import read_post_quantum, read_signer
    from asrpack.protect import licence as licences

    issued = build_time()
    begin, end = _dates(issued, days, expires, not_before)
    hosts = tuple(
        HostBinding.from_json(SecretSource("file", str(path)).read(), str(path))
        for path in host or ()
    )
    terms = Terms(customer, begin, end, grace, streams, hosts)
    signer, public = read_signer(sign), _recipient(recipient)
    subject, secret = _open(bundle, escrow, signer)
    data = licences.issue(
        terms,
        subject,
        secret,
        public,
        signer,
        post_quantum=read_post_quantum(ml_dsa),
        issued=issued,
    )
    _write(output, data, bundle, registry, force, as_json)


@license.command()
def renew(
    bundle: Bundle,
    licence: Annotated[
        Path, typer.Argument(metavar="LICENCE", help="The licence to renew.", show_default=False)
    ],
    recipient: Recipient,
    escrow: Escrow,
    sign: SigningKey,
    output: Output,
    days: Days = None,
    expires: Expires = None,
    not_before: NotBefore = None,
    grace: Annotated[
        int | None,
        typer.Option(min=0, metavar="DAYS", help="Default: as before.", show_default=False),
    ] = None,
    trust: Trust = None,
    ml_dsa: MlDsa = None,
    registry: RegistryFile = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Renew a licence: its terms with other dates, a higher sequence.

    The customer puts the file where the old one is; a service that runs takes it up. With --trust
    the old licence may be signed by another key than --sign, one that you had before.
    """
    from asrpack.bundle.licence import read_licence
    from asrpack.bundle.metadata import build_time
    from asrpack.cli.given_keys import read_post_quantum, read_signer
    from asrpack.errors import UsageError
    from asrpack.protect import licence as licences
    from asrpack.runtime.keyring import read_trust
    from asrpack.runtime.licence_files import read_file

    issued, old = build_time(), read_file(licence)
    begin, end = _dates(issued, days, expires, not_before)
    if end is None and read_licence(old, str(licence)).terms.expires is not None:
        raise UsageError(
            "the renewal of a licence that ends needs an end, too",
            code="license-end",
            remedy="give --days or --expires",
        )
    signer, public = read_signer(sign), _recipient(recipient)
    subject, secret = _open(bundle, escrow, signer)
    data = licences.renew(
        old,
        subject,
        secret,
        public,
        signer,
        not_before=begin,
        expires=end,
        grace_days=grace,
        trust=read_trust(trust or ()),
        post_quantum=read_post_quantum(ml_dsa),
        issued=issued,
    )
    _write(output, data, bundle, registry, force, as_json)


@license.command()
def show(
    licence: Annotated[
        Path, typer.Argument(metavar="LICENCE", help="A licence.", show_default=False)
    ],
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Show what a licence says. With --trust, only if one of these keys signed it."""
    from asrpack.bundle.licence import read_licence, verify_licence
    from asrpack.runtime.keyring import read_trust
    from asrpack.runtime.licence_files import read_file

    data, place = read_file(licence), str(licence)
    found = verify_licence(data, read_trust(trust), place) if trust else read_licence(data, place)
    if as_json:
        _print_json({"verified": bool(trust), **found.body(), "signer": found.signer})
        return
    if not trust:
        typer.echo("NOT VERIFIED: this is what the licence says; --trust tells if it is true.")
    for line in _lines(found):
        typer.echo(line)


@license.command()
def check(
    bundle: Bundle,
    licence: License = None,
    identity: Identity = None,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Check on the customer's host whether a licence opens a bundle here and now.

    Exit code 0: it does, perhaps in its days of grace; 7: it does not, and why. Changes nothing.
    Without an identity neither the recipient nor what this host remembers is looked at.
    """
    from asrpack.bundle.licence_body import DAY
    from asrpack.runtime.commands import check_licence

    lease = check_licence(bundle, identity=identity, trust=trust or (), licence=licence)
    found = lease.licence
    assert found is not None
    standing, (now, _) = lease.standing(found), lease.time(found)
    expires, ends = found.terms.expires, found.terms.ends
    end = expires if standing == "valid" else ends
    days_left = None if end is None else (end - now) // DAY
    if as_json:
        body = found.body()
        wanted = ("licence_id", "customer", "bundle_id", "not_before", "expires", "sequence")
        fields = {name: body[name] for name in wanted}
        _print_json({"ok": True, "standing": standing, "days_left": days_left, **fields})
        return
    left = "" if days_left is None else f", {days_left} day{'' if days_left == 1 else 's'} left"
    typer.echo(f"{'in grace' if standing == 'grace' else standing}{left}")
    for line in _lines(found):
        typer.echo(line)


@license.command()
def host(
    needed: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="So many of the factors must agree. Default: more than half.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print what tells this host from others, for a licence that is bound to it.

    Run it as the user who will run the bundle: some factors only root may read. The document has
    no identifier of the host, but salted HMACs of them.
    """
    from asrpack.runtime.host_factors import describe_host

    typer.echo(describe_host(needed).to_json().decode())


def _dates(
    issued: int, days: int | None, expires: str | None, not_before: str | None
) -> tuple[int, int | None]:
    from asrpack.bundle.licence_body import DAY
    from asrpack.errors import UsageError

    if days is not None and expires is not None:
        raise UsageError(
            "--days and --expires both say when it ends", code="license-end", remedy="give one"
        )
    begin = issued if not_before is None else _time(not_before, "--not-before", 0)
    if days is not None:
        return begin, begin + days * DAY
    return begin, None if expires is None else _time(expires, "--expires", DAY)


def _time(text: str, option: str, after: int) -> int:
    """A time, or a day; ``after``: seconds from the day's begin to what is meant."""
    from asrpack.bundle.metadata import day_or_time
    from asrpack.errors import UsageError

    try:
        return day_or_time(text, after)
    except ValueError:
        raise UsageError(
            f"{text!r} is no date",
            code="license-date",
            place=option,
            remedy="give it like 2027-01-31 or 2027-01-31T12:00:00Z",
        ) from None


def _recipient(path: Path) -> Key:
    from asrpack.bundle.keys import recipient_public
    from asrpack.bundle.secrets import SecretSource

    return recipient_public(SecretSource("file", str(path)).read(), str(path))


def _open(bundle: Path, escrow: str, signer: Key) -> tuple[LicensedBundle, bytes]:
    """The bundle and its data keys; says so where customers will need to pin the signer."""
    from asrpack.bundle.keys import public_pem
    from asrpack.cli.given_keys import read_escrow
    from asrpack.protect.licence import open_for_licensing

    subject, secret, bundle_signer = open_for_licensing(bundle, read_escrow(escrow))
    if public_pem(signer) != bundle_signer:
        typer.echo(
            f"asrpack: warning: another key than the bundle's signs this licence "
            f"({signer.fingerprint}): hosts accept it only where that key is pinned with --trust",
            err=True,
        )
    return subject, secret


def _write(
    output: Path, data: bytes, bundle: Path, registry: Path | None, force: bool, as_json: bool
) -> None:
    """The licence, and before it what the registry says of it."""
    from asrpack.bundle.licence import read_licence
    from asrpack.cli.files import write_bytes
    from asrpack.errors import InputError
    from asrpack.protect.registry import Issued, Registry
    from asrpack.report.results import registry_near

    if output.resolve().is_relative_to(bundle.resolve()):
        raise InputError(
            "a licence inside the bundle would break its seal",
            code="license-inside",
            place=str(output),
            remedy="write it beside the bundle's directory",
        )
    if output.exists() and not force:
        raise InputError(
            "the file exists",
            code="license-exists",
            place=str(output),
            remedy="choose another name, or --force to replace it",
        )
    found = read_licence(data, str(output))
    registry = registry or registry_near(bundle)
    if registry is not None:
        Registry(registry).add(Issued.of(found))
    write_bytes(output, data, code="license-unwritable")
    if as_json:
        kept = {} if registry is None else {"registry": str(registry)}
        _print_json({"licence": str(output), **kept, **found.body()})
        return
    typer.echo(f"wrote {output}")
    if registry is not None:
        typer.echo(f"  registry    {registry}")
    for line in _lines(found):
        typer.echo(line)


def _lines(licence: Licence) -> list[str]:
    body = licence.body()
    terms = licence.terms
    ends = body["expires"] or "never"
    if terms.grace_days:
        ends += f", and {terms.grace_days} days of grace"
    needed = ", ".join(f"{host.needed} of {len(host.factors)} factors" for host in terms.hosts)
    return [
        f"  licence     {licence.licence_id}, sequence {licence.sequence}",
        f"  customer    {terms.customer}",
        f"  bundle      {licence.bundle.bundle_id}",
        f"  recipient   {licence.recipient} ({licence.kem})",
        f"  signer      {licence.signer}",
        f"  issued      {body['issued']}",
        f"  begins      {body['not_before']}",
        f"  ends        {ends}",
        f"  streams     {terms.streams or 'any number'}",
        f"  hosts       {f'{len(terms.hosts)} ({needed})' if terms.hosts else 'any'}",
        *([f"  supersedes  {licence.supersedes}"] if licence.supersedes else []),
    ]


def _print_json(fields: dict[str, Any]) -> None:
    from json import dumps

    typer.echo(dumps(fields, ensure_ascii=False))
