"""A software token (SoftHSM) with keys that do not leave it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

LABEL = "vendor's token"
PIN = "a pin 1234"
_LIBRARIES = sorted(
    path
    for pattern in ("softhsm/libsofthsm2.so", "*/softhsm/libsofthsm2.so")
    for path in Path("/usr/lib").glob(pattern)
)
# Object identifiers in DER.
CURVES = {"p256": "06082a8648ce3d030107", "p384": "06052b81040022", "x25519": "06032b656e"}


def uri(name: str, query: str = "pin-source=env:TOKEN_PIN") -> str:
    """The URI of one of the token's keys: ``p256``, ``p384``, ``x25519``, ``p256b``."""
    return f"pkcs11:token=vendor%27s%20token;object={name}?{query}"


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The token's library; the environment names it, and the PIN."""
    if importlib.util.find_spec("pkcs11") is None:
        pytest.skip("python-pkcs11 is not installed")
    if shutil.which("softhsm2-util") is None or not _LIBRARIES:
        pytest.skip("SoftHSM is not installed (Debian: softhsm2)")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOFTHSM2_CONF", str(settings))
        environment.setenv("PKCS11_MODULE_PATH", str(_LIBRARIES[0]))
        environment.setenv("TOKEN_PIN", PIN)
        command = ["softhsm2-util", "--init-token", "--free", "--label", LABEL]
        subprocess.run([*command, "--pin", PIN, "--so-pin", PIN], check=True, capture_output=True)
        _make_keys(_LIBRARIES[0])
        yield _LIBRARIES[0]


def _make_keys(library: Path) -> None:
    import pkcs11

    token = pkcs11.lib(str(library)).get_token(token_label=LABEL)
    with token.open(rw=True, user_pin=PIN) as session:
        for name in ("p256", "p256b", "p384", "x25519"):
            curve = bytes.fromhex(CURVES[name.removesuffix("b")])
            agrees = name == "x25519"
            # SoftHSM knows X25519 as an Edwards curve's key.
            kind = pkcs11.KeyType.EC_EDWARDS if agrees else pkcs11.KeyType.EC
            mechanism = (
                pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN
                if agrees
                else pkcs11.Mechanism.EC_KEY_PAIR_GEN
            )
            session.create_domain_parameters(
                kind, {pkcs11.Attribute.EC_PARAMS: curve}, local=True
            ).generate_keypair(
                mechanism=mechanism,
                store=True,
                label=name,
                id=name.encode(),
                capabilities=pkcs11.MechanismFlag.DERIVE if agrees else pkcs11.MechanismFlag.SIGN,
            )
