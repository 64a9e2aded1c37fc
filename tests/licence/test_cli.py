"""asrpack license: what it prints, what it writes, its exit codes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asrpack.bundle.host import HostBinding
from asrpack.bundle.licence_body import DAY
from asrpack.bundle.metadata import utc
from asrpack.cli import main
from asrpack.protect.registry import Issued, Registry
from asrpack.report.results import REGISTRY
from tests.licence.vendor import NOW, Vendor, read

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day in September 2026 for what is issued; a memory, and no keys, of this test's own."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW))
    monkeypatch.setenv("ASRPACK_STATE", str(tmp_path / "state"))
    for name in ("ASRPACK_LICENSE", "ASRPACK_TRUST", "ASRPACK_IDENTITY"):
        monkeypatch.delenv(name, raising=False)


def issue(vendor: Vendor, path: Path, *more: object) -> list[str]:
    """The words of a command that issues a licence to ``path``."""
    words = [
        "license", "issue", vendor.bundle, "--customer", "acme",
        "--recipient", vendor.customer.with_suffix(".pub"),
        "--escrow", vendor.escrow, "--sign", vendor.signing, "-o", path, *more,
    ]  # fmt: skip
    return [str(word) for word in words]


def renew(vendor: Vendor, old: Path, path: Path, *more: object) -> list[str]:
    words = [
        "license", "renew", vendor.bundle, old,
        "--recipient", vendor.customer.with_suffix(".pub"),
        "--escrow", vendor.escrow, "--sign", vendor.signing, "-o", path, *more,
    ]  # fmt: skip
    return [str(word) for word in words]


def check(vendor: Vendor, path: Path, *more: object) -> list[str]:
    words = [
        "license", "check", vendor.bundle, "--license", path,
        "--trust", vendor.signing.with_suffix(".pub"), "--identity", vendor.customer, *more,
    ]  # fmt: skip
    return [str(word) for word in words]


def test_issue(vendor: Vendor, tmp_path: Path, capsys: Capture) -> None:
    path, host = tmp_path / "licence.json", tmp_path / "host.json"
    binding = HostBinding.of({"machine-id": "a"}, bytes(16), 1)
    host.write_text(json.dumps(json.loads(binding.to_json()), indent=2))  # a mail client was there
    more = ["--days", 90, "--grace", 14, "--streams", 4, "--host", host, "--json"]
    assert main(issue(vendor, path, *more)) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["expires"] == utc(NOW + 90 * DAY) and shown["licence"] == str(path)
    terms = read(path.read_bytes()).terms
    assert (terms.grace_days, terms.streams, terms.hosts) == (14, 4, (binding,))
    assert read(path.read_bytes()).body() == {k: v for k, v in shown.items() if k != "licence"}
    # A file is not lost.
    before = path.read_bytes()
    assert main(issue(vendor, path)) == 3
    assert path.read_bytes() == before
    assert main(issue(vendor, path, "--force")) == 0
    assert path.read_bytes() != before
    assert list(tmp_path.iterdir()) == [path, host] or {path, host} == set(tmp_path.iterdir())


def test_what_is_issued_and_renewed_is_in_the_registry(
    vendor: Vendor, tmp_path: Path, capsys: Capture
) -> None:
    first, second, file = (tmp_path / name for name in ("a.json", "b.json", "registry.sqlite"))
    given = ["--registry", file, "--json"]
    assert main(issue(vendor, first, "--days", 30, "--streams", 4, *given)) == 0
    assert json.loads(capsys.readouterr().out)["registry"] == str(file)
    assert main(renew(vendor, first, second, "--days", 90, "--grace", 7, *given)) == 0
    capsys.readouterr()
    assert main(["registry", str(file), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["bundles"] == []
    bodies = [read(path.read_bytes()) for path in (first, second)]
    for said, licence in zip(shown["licences"], bodies, strict=True):
        body = licence.body() | {"signer": licence.signer, "streams": 4, "hosts": 0}
        assert said == {name: body[name] for name in said}
    assert shown["licences"][1]["supersedes"] == bodies[0].licence_id
    assert main(["registry", str(file), "--customer", "acme"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("acme  bundle ") and "sequence 1" in lines[1]
    assert lines[3].endswith(
        f"ends {utc(NOW + 90 * DAY)} and 7 days, renews {bodies[0].licence_id}"
    )
    assert main(["registry", str(file), "--customer", "beta"]) == 0
    assert capsys.readouterr().out == ""
    data = file.read_bytes()
    assert not any(licence.wrapped in data for licence in bodies)
    for path in (vendor.signing, vendor.escrow, vendor.customer):
        assert b"".join(path.read_bytes().splitlines()[1:-1]) not in data


def test_no_licence_without_its_row(vendor: Vendor, tmp_path: Path, capsys: Capture) -> None:
    path, file = tmp_path / "licence.json", tmp_path / "registry.sqlite"
    file.write_text("customer,recipient\n" * 100)
    assert main(issue(vendor, path, "--registry", file)) == 3
    assert "registry" in capsys.readouterr().err and not path.exists()
    # What cannot be issued leaves no row.
    file.unlink()
    path.write_text("")
    assert main(issue(vendor, path, "--registry", file)) == 3
    assert not file.exists()


def test_the_registry_beside_the_artifact_is_found(
    vendor: Vendor, tmp_path: Path, capsys: Capture
) -> None:
    customer = tmp_path / "artifacts" / "digits-1-cpu" / "customers" / "acme"
    shutil.copytree(vendor.bundle, customer / "bundle")
    own, registry = replace(vendor, bundle=customer / "bundle"), tmp_path / "artifacts" / REGISTRY
    for folder in (customer, customer.parents[1]):
        (folder / "asrpack.lock").write_text("{}")
    assert main(issue(own, customer / "licence.json")) == 0
    assert not registry.exists(), "none is made where none was"
    Registry(registry).add()
    assert main(renew(own, customer / "licence.json", customer / "new.json")) == 0
    assert str(registry) in capsys.readouterr().out
    (row,) = Registry(registry).licences()
    assert row == Issued.of(read((customer / "new.json").read_bytes()))


def test_signed_with_ml_dsa_too(vendor: Vendor, tmp_path: Path, capsys: Capture) -> None:
    """For hosts whose policy asks for it, also when it is renewed."""
    lattice, path, renewed = (tmp_path / name for name in ("pq.pem", "a.json", "b.json"))
    assert main(["keys", "generate", "signing-pq", "-o", str(lattice)]) == 0
    policy = ["--policy", str(tmp_path / "trust.json")]
    assert main(["trust", "init", *policy]) == 0
    public = [str(key.with_suffix(".pub")) for key in (vendor.signing, lattice)]
    assert main(["trust", "add", public[0], "--name=v", "--post-quantum", public[1], *policy]) == 0
    trust = ["--trust", policy[1]]
    assert main(issue(vendor, path)) == 0
    assert main(["license", "show", str(path), *trust]) == 7
    assert "lacks the signature" in capsys.readouterr().err
    assert main(issue(vendor, path, "--days", "9", "--ml-dsa", lattice, "--force")) == 0
    assert main(renew(vendor, path, renewed, "--days", "30", "--ml-dsa", lattice)) == 0
    for licence in (path, renewed):
        assert main(["license", "show", str(licence), *trust]) == 0
    assert main(issue(vendor, path, "--ml-dsa", vendor.signing, "--force")) == 7
    assert str(vendor.signing) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "begin", "end"),
    [
        ([], NOW, None),
        (["--days", "1"], NOW, NOW + DAY),
        (["--expires", "2026-12-31"], NOW, 1798761600),  # 2027-01-01T00:00:00Z
        (["--expires", "2026-12-31T12:00:00Z"], NOW, 1798718400),
        (["--not-before", "2026-12-01", "--days", "31"], 1796083200, 1796083200 + 31 * DAY),
    ],
)
def test_dates(
    vendor: Vendor, tmp_path: Path, options: list[str], begin: int, end: int | None
) -> None:
    assert main(issue(vendor, tmp_path / "licence.json", *options)) == 0
    terms = read((tmp_path / "licence.json").read_bytes()).terms
    assert (terms.not_before, terms.expires) == (begin, end)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--days", "1", "--expires", "2027-01-01"], 2, "both say"),
        (["--days", "0"], 2, "--days"),
        (["--streams", "0"], 2, "--streams"),
        (["--expires", "9999-12-31", "--grace", "1"], 3, "9999"),
        (["--expires", "tomorrow"], 2, "no date"),
        (["--expires", "2027-02-30"], 2, "no date"),
        (["--not-before", "99999-01-01"], 2, "no date"),
        (["--expires", "2020-01-01"], 3, "ends before it begins"),
        (["--grace", "5"], 3, "5 days of grace"),
        (["--days", "1", "--grace", "4000"], 3, "4000 days of grace"),
        (["--days", "99999999"], 3, "9999"),
        (["--customer", "acme inc"], 3, "plain id"),
        (["--host", "nowhere"], 7, "nowhere"),
        (["--escrow", "nowhere"], 7, "nowhere"),
        (["--sign", "nowhere"], 7, "nowhere"),
    ],
)
def test_what_cannot_be_issued(
    vendor: Vendor, tmp_path: Path, capsys: Capture, options: list[str], code: int, said: str
) -> None:
    path = tmp_path / "licence.json"
    assert main(issue(vendor, path, *options)) == code
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and "internal" not in error
    assert not path.exists()


def test_keys_of_the_wrong_kind(vendor: Vendor, tmp_path: Path, capsys: Capture) -> None:
    path, folder = tmp_path / "licence.json", vendor.bundle.parent
    for option, name in [
        ("--recipient", "vendor.pub"),
        ("--recipient", "stranger.key"),
        ("--escrow", "stranger.key"),  # no recipient
        ("--escrow", "old.pub"),
        ("--sign", "old.key"),
        ("--sign", "vendor.pub"),
    ]:
        assert main(issue(vendor, path, option, folder / name)) == 7
    assert not path.exists() and "Traceback" not in capsys.readouterr().err


def test_not_inside_the_bundle(vendor: Vendor, capsys: Capture) -> None:
    assert main(issue(vendor, vendor.bundle / "licence.json")) == 3
    assert not (vendor.bundle / "licence.json").exists()
    assert "seal" in capsys.readouterr().err


def test_renew(vendor: Vendor, tmp_path: Path, capsys: Capture) -> None:
    old, new = tmp_path / "licence.json", tmp_path / "new.json"
    assert main(issue(vendor, old, "--days", 30, "--grace", 3, "--streams", 2)) == 0
    assert main(renew(vendor, old, new)) == 2
    assert "end" in capsys.readouterr().err and not new.exists()
    assert main(renew(vendor, old, new, "--days", 60)) == 0
    before, after = read(old.read_bytes()), read(new.read_bytes())
    assert after.supersedes == before.licence_id and after.sequence > before.sequence
    assert after.terms.expires == NOW + 60 * DAY
    assert (after.terms.grace_days, after.terms.streams) == (3, 2)
    assert main(renew(vendor, old, old, "--days", 60)) == 3
    assert main(renew(vendor, old, old, "--days", 60, "--grace", 0, "--force")) == 0
    assert read(old.read_bytes()).terms.grace_days == 0
    assert main(renew(vendor, tmp_path / "none", new, "--days", 1)) == 7
    (tmp_path / "broken").write_text("{}")
    assert main(renew(vendor, tmp_path / "broken", new, "--days", 1, "--force")) == 7


def test_another_signer_is_told(vendor: Vendor, tmp_path: Path, capsys: Capture) -> None:
    assert main(["keys", "generate", "signing", "-o", str(tmp_path / "new.pem")]) == 0
    assert main(issue(vendor, tmp_path / "l.json", "--sign", tmp_path / "new.pem")) == 0
    assert "--trust" in capsys.readouterr().err


def test_show(vendor: Vendor, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "licence.json"
    assert main(issue(vendor, path, "--days", 30)) == 0
    capsys.readouterr()
    assert main(["license", "show", str(path)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("NOT VERIFIED") and "acme" in text and "2026-10-21" in text
    trust = ["--trust", str(vendor.signing.with_suffix(".pub"))]
    assert main(["license", "show", str(path), *trust, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["verified"] is True and shown["customer"] == "acme"
    assert main(["keys", "generate", "signing", "-o", str(tmp_path / "other.pem")]) == 0
    other = ["--trust", str(tmp_path / "other.pub")]
    assert main(["license", "show", str(path), *other]) == 7
    assert main(["license", "show", str(tmp_path / "none")]) == 7
    assert main(["license", "show", str(vendor.signing)]) == 7


def test_check(vendor: Vendor, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "licence.json"
    path.write_bytes(vendor.issue(issued=NOW, expires=None))
    assert main(check(vendor, path, "--json")) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["ok"], shown["standing"], shown["days_left"]) == (True, "valid", None)
    path.write_bytes(vendor.issue(issued=NOW, expires=NOW + DAY, grace_days=3650))
    assert main(check(vendor, path, "--json")) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["standing"] == "grace" and shown["days_left"] > 300
    assert main(check(vendor, path)) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("in grace, ") and "warning" in captured.err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"expires": NOW + DAY}, "licence-expired"),
        ({"not_before": 4_000_000_000}, "licence-not-yet"),
        ({"hosts": (HostBinding.of({"mac": "x"}, bytes(16), 1),)}, "licence-host"),
    ],
)
def test_check_says_why_not(
    vendor: Vendor, tmp_path: Path, capsys: Capture, terms: dict[str, Any], code: str
) -> None:
    path = tmp_path / "licence.json"
    path.write_bytes(vendor.issue(**terms))
    assert main(check(vendor, path, "--json")) == 7
    shown = json.loads(capsys.readouterr().out)
    assert (shown["ok"], shown["error"], shown["exit_code"]) == (False, code, 7)
    assert main(check(vendor, path)) == 7
    assert "remedy" in capsys.readouterr().err


def test_check_of_other_things(vendor: Vendor, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "licence.json"
    path.write_bytes(vendor.issue(expires=None))
    trust = ["--trust", str(vendor.signing.with_suffix(".pub"))]
    bundle = ["license", "check", str(vendor.bundle), "--license", str(path)]
    assert main([*bundle, *trust]) == 0  # without an identity: all but the recipient
    assert main([*bundle]) == 0
    assert "no vendor key is pinned" in capsys.readouterr().err
    recipient = str(vendor.bundle.parent / "customer.key")
    assert main([*bundle, *trust, "--identity", recipient]) == 2
    assert main(["license", "check", str(tmp_path), *trust]) == 6
    assert main(["license", "check", str(tmp_path / "none"), *trust]) == 3
    assert main(check(vendor, tmp_path / "none")) == 7
    path.write_bytes(vendor.edit(lambda payload: payload["body"].update(manifest="0" * 64)))
    assert main(check(vendor, path)) == 7
    assert "Traceback" not in capsys.readouterr().err


def test_host(capsys: Capture) -> None:
    code = main(["license", "host"])
    if code == 4:
        pytest.skip("nothing here tells this host from another")
    binding = HostBinding.from_json(capsys.readouterr().out.encode(), "standard output")
    assert binding.needed == len(binding.factors) // 2 + 1
    assert main(["license", "host", "--needed", "9"]) == 2
