"""Recipients of a finished bundle: added, removed, and kept over another signer."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asrpack.bundle import passphrase
from asrpack.bundle.envelope import ENVELOPE_FILE, Envelope, open_envelope
from asrpack.bundle.keys import (
    Key,
    public_pem,
    recipient_private,
    recipient_public,
    signing_private,
)
from asrpack.bundle.metadata import BundleMetadata
from asrpack.bundle.opening import check_bundle, open_sealed
from asrpack.cli import main
from asrpack.errors import AsrpackError, InputError, IntegrityError, KeyFileError, ToolchainError
from asrpack.protect import rewrite
from asrpack.protect.keys import generate, write_key_pair
from asrpack.protect.recipients import add, remove, resign
from tests.hostile.bundles import PLAINTEXTS, SealedBundle

PHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases that cost as little as a reader accepts."""
    monkeypatch.setattr(passphrase, "DEFAULT_COST", passphrase.Cost(64 << 10, 3, 4))


def public(bundle: SealedBundle, name: str) -> Key:
    return recipient_public(bundle.bytes_of(f"{name}.pub"), name)


def private(bundle: SealedBundle, name: str) -> Key:
    return recipient_private(bundle.bytes_of(f"{name}.key"), name)


def phrase(text: str = PHRASE) -> Key:
    return Key("recipient", "argon2id", True, b"", text.encode())


def vendor(bundle: SealedBundle) -> Key:
    return signing_private(bundle.bytes_of("vendor.pem"), "vendor.pem")


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def opens(bundle: SealedBundle, identity: Key, trust: str = "vendor.pub") -> bool:
    opened = open_sealed(bundle.path, identity, [bundle.bytes_of(trust)])
    return opened.files == PLAINTEXTS


def test_add_and_remove(sealed_bundle: SealedBundle) -> None:
    before = files(sealed_bundle.path)
    customer, stranger = private(sealed_bundle, "customer"), private(sealed_bundle, "stranger")
    change = add(
        sealed_bundle.path,
        [public(sealed_bundle, "stranger"), phrase()],
        identity=customer,
        signer=vendor(sealed_bundle),
    )
    assert stranger.fingerprint in change.added and len(change.added) == 2
    for identity in (stranger, customer, private(sealed_bundle, "old"), phrase()):
        assert opens(sealed_bundle, identity)
    after = files(sealed_bundle.path)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed == {"asrpack.json", ENVELOPE_FILE, "model.sig"}
    metadata = BundleMetadata.from_json(after["asrpack.json"])
    assert metadata.sequence == BundleMetadata.from_json(before["asrpack.json"]).sequence + 1
    assert set(metadata.recipients) == {item.kid for item in change.recipients}

    gone = [
        customer.fingerprint[:10],
        *(kid for kid in change.added if kid != stranger.fingerprint),
    ]
    change = remove(sealed_bundle.path, gone, signer=vendor(sealed_bundle))
    assert len(change.removed) == 2 and len(change.recipients) == 2
    for identity in (customer, phrase()):
        with pytest.raises(KeyFileError):
            open_sealed(sealed_bundle.path, identity)
    assert opens(sealed_bundle, stranger)
    assert [p.name for p in sealed_bundle.folder.iterdir() if p.name.startswith(".")] == []


def test_the_data_keys_stay(sealed_bundle: SealedBundle) -> None:
    """What the documentation says of a recipient who is removed."""
    old, customer = sealed_bundle.path / ENVELOPE_FILE, private(sealed_bundle, "customer")
    keys = open_envelope(old.read_bytes(), customer)
    remove(sealed_bundle.path, [customer.fingerprint], signer=vendor(sealed_bundle))
    assert open_envelope(old.read_bytes(), private(sealed_bundle, "old")) == keys


def test_resign(sealed_bundle: SealedBundle) -> None:
    add(
        sealed_bundle.path,
        [phrase()],
        identity=private(sealed_bundle, "old"),
        signer=vendor(sealed_bundle),
    )
    fresh, _ = write_key_pair(generate("signing"), sealed_bundle.folder / "fresh.pem")
    everyone = [public(sealed_bundle, "customer"), public(sealed_bundle, "old"), phrase()]
    options: dict[str, Any] = {
        "identity": private(sealed_bundle, "old"),
        "trust": [sealed_bundle.bytes_of("vendor.pub")],
        "signer": fresh,
    }
    with pytest.raises(KeyFileError) as error:
        resign(sealed_bundle.path, everyone[:1] + everyone[2:], **options)
    assert error.value.code == "recipients-missing"
    assert everyone[1].fingerprint in str(error.value)
    with pytest.raises(KeyFileError) as error:
        resign(sealed_bundle.path, everyone[:2], **options)
    assert error.value.code == "recipients-missing"
    with pytest.raises(KeyFileError) as error:
        resign(sealed_bundle.path, [*everyone[:2], phrase("another passphrase")], **options)
    assert error.value.code == "passphrase-wrong"
    with pytest.raises(KeyFileError) as error:
        resign(sealed_bundle.path, [*everyone, public(sealed_bundle, "stranger")], **options)
    assert error.value.code == "recipients-unknown"

    resign(sealed_bundle.path, everyone, **options)
    for identity in (private(sealed_bundle, "customer"), private(sealed_bundle, "old"), phrase()):
        assert opens(sealed_bundle, identity, "fresh.pub")
        # Without a pinned key, too: what is wrapped names the new signer.
        assert open_sealed(sealed_bundle.path, identity).files == PLAINTEXTS
    with pytest.raises(IntegrityError):
        check_bundle(sealed_bundle.path, [sealed_bundle.bytes_of("vendor.pub")])
    with pytest.raises(KeyFileError) as error:
        resign(
            sealed_bundle.path,
            everyone,
            **options | {"trust": [sealed_bundle.bytes_of("fresh.pub")]},
        )
    assert error.value.code == "signer-same"


def test_dry_run_changes_nothing(sealed_bundle: SealedBundle) -> None:
    before = files(sealed_bundle.folder)
    change = add(
        sealed_bundle.path,
        [public(sealed_bundle, "stranger")],
        identity=private(sealed_bundle, "customer"),
        signer=vendor(sealed_bundle),
        dry_run=True,
    )
    assert len(change.recipients) == 3
    assert files(sealed_bundle.folder) == before


def _add(bundle: SealedBundle, *keys: Key, **others: Any) -> None:
    signer = others.pop("signer", None) or vendor(bundle)
    add(bundle.path, keys, identity=private(bundle, "customer"), signer=signer, **others)


REFUSED: dict[str, tuple[Callable[[SealedBundle], object], str]] = {
    "there already": (lambda b: _add(b, public(b, "old")), "recipients-duplicate"),
    "twice": (lambda b: _add(b, *[public(b, "stranger")] * 2), "recipients-duplicate"),
    "nobody": (lambda b: _add(b), "recipients-count"),
    "three passphrases": (
        lambda b: _add(b, *[phrase(PHRASE + c) for c in "abc"]),
        "recipients-count",
    ),
    "over 64": (
        lambda b: _add(
            b,
            *[recipient_public(_public(generate("recipient", "x25519")), "k") for _ in range(63)],
        ),
        "recipients-count",
    ),
    "a weak passphrase": (lambda b: _add(b, phrase("hunter2")), "passphrase-short"),
    "another signer": (
        lambda b: _add(b, phrase(), signer=signing_private(generate("signing"), "k")),
        "signer-untrusted",
    ),
    "not an opener": (
        lambda b: add(b.path, [phrase()], identity=private(b, "stranger"), signer=vendor(b)),
        "identity-not-recipient",
    ),
    "no such recipient": (
        lambda b: remove(b.path, ["0" * 64], signer=vendor(b)),
        "recipients-unknown",
    ),
    "a short id": (
        lambda b: remove(b.path, [public(b, "old").fingerprint[:7]], signer=vendor(b)),
        "recipients-unknown",
    ),
    "all of them": (
        lambda b: remove(
            b.path,
            [public(b, "old").fingerprint, public(b, "customer").fingerprint],
            signer=vendor(b),
        ),
        "recipients-count",
    ),
}


def _public(text: bytes) -> bytes:
    return public_pem(recipient_private(text, "k"))


@pytest.mark.parametrize(("act", "code"), REFUSED.values(), ids=REFUSED)
def test_refused(
    sealed_bundle: SealedBundle, act: Callable[[SealedBundle], object], code: str
) -> None:
    before = files(sealed_bundle.folder)
    with pytest.raises(AsrpackError) as error:
        act(sealed_bundle)
    assert error.value.code == code
    assert files(sealed_bundle.folder) == before


def test_a_file_swapped_meanwhile_is_not_signed(
    sealed_bundle: SealedBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = rewrite._copy

    def swap_first(*arguments: Any) -> None:
        (sealed_bundle.path / "README.md").write_text("forged")
        real(*arguments)

    monkeypatch.setattr(rewrite, "_copy", swap_first)
    with pytest.raises(IntegrityError) as error:
        _add(sealed_bundle, phrase())
    assert (error.value.code, error.value.place) == ("changed-file", "README.md")
    with pytest.raises(IntegrityError):
        check_bundle(sealed_bundle.path, [sealed_bundle.bytes_of("vendor.pub")])


STEPS = ("_copy", "sign_tree", "check_bundle", "_sync", "_exchange")


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_killed(sealed_bundle: SealedBundle, step: str, late: bool) -> None:
    """Whenever the process dies, the bundle verifies, and the next run does the work."""
    child = os.fork()
    if child == 0:
        real = getattr(rewrite, step)

        def die(*arguments: Any) -> None:
            if late:
                real(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(rewrite, step, die)
        try:
            _add(sealed_bundle, public(sealed_bundle, "stranger"))
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    check_bundle(sealed_bundle.path, [sealed_bundle.bytes_of("vendor.pub")])
    assert opens(sealed_bundle, private(sealed_bundle, "customer"))
    data = (sealed_bundle.path / ENVELOPE_FILE).read_bytes()
    done = step == "_exchange" and late
    assert len(Envelope.from_json(data).recipients) == (3 if done else 2)
    if done:
        remove(
            sealed_bundle.path,
            [public(sealed_bundle, "stranger").fingerprint],
            signer=vendor(sealed_bundle),
        )
    else:
        _add(sealed_bundle, public(sealed_bundle, "stranger"))
        assert opens(sealed_bundle, private(sealed_bundle, "stranger"))
    assert not (sealed_bundle.folder / ".bundle.rewrite").exists()


def test_two_runs_at_once(sealed_bundle: SealedBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    real = rewrite._copy

    def second_run(*arguments: Any) -> None:
        monkeypatch.setattr(rewrite, "_copy", real)
        with pytest.raises(InputError) as error:
            _add(sealed_bundle, phrase())
        assert error.value.code == "bundle-busy"
        real(*arguments)

    monkeypatch.setattr(rewrite, "_copy", second_run)
    _add(sealed_bundle, public(sealed_bundle, "stranger"))
    assert opens(sealed_bundle, private(sealed_bundle, "stranger"))


def test_a_system_without_an_exchange(
    sealed_bundle: SealedBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(sealed_bundle.folder)
    monkeypatch.setattr(rewrite, "_RENAME_EXCHANGE", 1 << 7)  # an unknown flag: EINVAL
    with pytest.raises(ToolchainError) as error:
        _add(sealed_bundle, public(sealed_bundle, "stranger"))
    assert error.value.code == "exchange"
    assert files(sealed_bundle.folder) == before


def test_modes_stay(sealed_bundle: SealedBundle) -> None:
    (sealed_bundle.path / "README.md").chmod(0o440)
    (sealed_bundle.path / "model").chmod(0o555)
    sealed_bundle.path.chmod(0o750)
    _add(sealed_bundle, public(sealed_bundle, "stranger"))
    assert (sealed_bundle.path / "README.md").stat().st_mode & 0o777 == 0o440
    assert (sealed_bundle.path / "model").stat().st_mode & 0o777 == 0o555
    assert sealed_bundle.path.stat().st_mode & 0o777 == 0o750
    assert not (sealed_bundle.folder / ".bundle.rewrite").exists()
    (sealed_bundle.path / "model").chmod(0o755)


def test_verbs(
    sealed_bundle: SealedBundle,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PHRASE", PHRASE)
    folder, bundle = sealed_bundle.folder, str(sealed_bundle.path)
    stranger = public(sealed_bundle, "stranger").fingerprint
    signing = ["--sign", f"{folder}/vendor.pem"]

    def run(*words: str) -> Any:
        assert main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    added = run(
        *["recipients", "add", bundle, "--recipient", f"{folder}/stranger.pub"],
        *["--recipient", "passphrase:env:PHRASE", "--identity", f"{folder}/old.key", *signing],
    )
    assert stranger in added["added"] and len(added["recipients"]) == 4
    listed = run("recipients", "list", bundle)["recipients"]
    assert {item["kem"] for item in listed} == {"x-wing", "x25519", "argon2id"}
    assert next(i for i in listed if i["kem"] == "argon2id")["memory"] == 65536
    assert open_sealed(sealed_bundle.path, phrase()).files == PLAINTEXTS
    removed = run("recipients", "remove", bundle, stranger[:12], *signing, "--dry-run")
    assert removed["dry_run"] and removed["removed"] == [stranger]
    write_key_pair(generate("signing"), folder / "fresh.pem")
    resigned = run(
        *["resign", bundle, "--trust", f"{folder}/vendor.pub", "--sign", f"{folder}/fresh.pem"],
        *[f"--recipient={folder}/{name}.pub" for name in ("customer", "old", "stranger")],
        *["--recipient", "passphrase:env:PHRASE", "--identity", "passphrase:env:PHRASE"],
    )
    assert resigned["sequence"] == added["sequence"] + 1
    assert main(["verify", bundle, "--trust", f"{folder}/fresh.pub"]) == 0
    assert main(["recipients", "list", bundle]) == 0
    assert f"{stranger}  x-wing" in capsys.readouterr().out
    assert (
        main(["recipients", "remove", bundle, stranger[:12], "--sign", f"{folder}/fresh.pem"]) == 0
    )
    captured = capsys.readouterr()
    assert f"removed:  {stranger}" in captured.out
    assert "only a new build" in captured.err
    assert main(["recipients", "list", bundle + "x"]) == 3
    assert main(["recipients", "remove", bundle, "0" * 64, *signing]) == 6
    assert PHRASE not in "".join(capsys.readouterr())
