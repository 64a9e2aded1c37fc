"""Private keys that stay in a token: PKCS#11 through python-pkcs11.

A key is named by a URI (:mod:`asrpack.bundle.pkcs11_uri`), e.g.
``pkcs11:token=vendor;object=signing?pin-source=env:HSM_PIN``, that one key must answer to.

The token signs (ECDSA on P-256 and P-384, over a digest made here) and agrees on keys (ECDH on
X25519, whose shared secret leaves the token, as DHKEM needs it). ML-KEM is in no token yet that
python-pkcs11 drives, so X-Wing is not done here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from asrpack.bundle.keys import Key
from asrpack.bundle.pkcs11_uri import Pkcs11Uri
from asrpack.errors import KeyFileError, ToolchainError

# CKA_EC_PARAMS: object identifiers in DER.
_CURVES: dict[str, tuple[ec.EllipticCurve, str]] = {
    "06082a8648ce3d030107": (ec.SECP256R1(), "ecdsa-p256"),
    "06052b81040022": (ec.SECP384R1(), "ecdsa-p384"),
}
# Its object identifier (RFC 8410), and its name as PKCS#11 3.0 allows.
_X25519 = ("06032b656e", "130a63757276653235353139")
_lock = threading.Lock()
_processes: dict[str, int] = {}
T = TypeVar("T")


def open_key(reference: str) -> Key:
    """The private key in a token that a ``pkcs11:`` URI names; ``handle`` works in the token.

    Raises:
        KeyFileError: the URI is not one, or token, key or PIN are not there.
        ToolchainError: python-pkcs11 or the token's library cannot be loaded.
    """
    uri = Pkcs11Uri(reference)
    pkcs11 = _package()
    with _lock:
        library = _library(pkcs11, uri)
        try:
            return _find(pkcs11, library, uri)
        except pkcs11.exceptions.PKCS11Error as error:
            raise uri.error("token", f"the token refused ({type(error).__name__})") from None


def _package() -> Any:
    try:
        import pkcs11
    except ImportError:
        raise ToolchainError(
            "keys in tokens need the package python-pkcs11",
            code="package-missing",
            place="pkcs11:",
            remedy="pip install 'asrpack[pkcs11]'",
        ) from None
    return pkcs11


def _library(pkcs11: Any, uri: Pkcs11Uri) -> Any:
    path = uri.module()
    try:
        library = pkcs11.lib(path)
        if _processes.setdefault(path, os.getpid()) != os.getpid():
            # A child that was forked: a library's state is its parent's (PKCS#11 2.40, 6.6.1).
            library.reinitialize()
            _processes[path] = os.getpid()
    except (RuntimeError, pkcs11.exceptions.PKCS11Error) as error:
        raise ToolchainError(
            f"the token's library cannot be loaded: {type(error).__name__}",
            code="pkcs11-module",
            place=path,
            remedy="check the path; it must be of this machine's architecture",
        ) from None
    return library


def _find(pkcs11: Any, library: Any, uri: Pkcs11Uri) -> Key:
    tokens = [
        token
        for token in library.get_tokens(token_label=uri.token)
        if pkcs11.TokenFlag.TOKEN_INITIALIZED in token.flags
        and uri.serial in (None, token.serial.decode(errors="replace").strip())
    ]
    if len(tokens) != 1:
        raise uri.error("token", f"{len(tokens) or 'no'} tokens are there with these attributes")
    pin = uri.pin()
    try:
        session = tokens[0].open(user_pin=pin)
    except pkcs11.exceptions.UserAlreadyLoggedIn:  # logins are a process's, not a session's
        session = tokens[0].open()
    except (pkcs11.exceptions.PinIncorrect, pkcs11.exceptions.PinLocked) as error:
        raise uri.error("pin", f"the token refused the PIN ({type(error).__name__})") from None
    attributes: dict[Any, Any] = {}
    if uri.object is not None:
        attributes[pkcs11.Attribute.LABEL] = uri.object
    if uri.id is not None:
        attributes[pkcs11.Attribute.ID] = uri.id

    def objects(kind: Any) -> list[Any]:
        return list(session.get_objects({**attributes, pkcs11.Attribute.CLASS: kind}))

    private = objects(pkcs11.ObjectClass.PRIVATE_KEY)
    public = objects(pkcs11.ObjectClass.PUBLIC_KEY)
    if len(private) != 1 or len(public) != 1:
        without = "" if pin else "; without pin-source, private keys are hidden"
        raise uri.error(
            "key",
            f"{len(private)} private and {len(public)} public keys have these attributes, "
            f"not one of each{without}",
            "name one key by object= or id=, whose public half is in the token, too",
        )
    return _key(pkcs11, _Object(pkcs11, session, private[0], uri), public[0])


class _Object:
    """A private key in a token, one call at a time: a session is no place for two threads."""

    def __init__(self, pkcs11: Any, session: Any, key: Any, uri: Pkcs11Uri) -> None:
        self.pkcs11, self._session, self._key, self._uri = pkcs11, session, key, uri
        self._process = os.getpid()

    def call(self, work: Callable[[Any], T]) -> T:
        if self._process != os.getpid():
            raise self._uri.error("fork", "the token was opened in another process")
        with _lock:
            try:
                return work(self._key)
            except (self.pkcs11.exceptions.PKCS11Error, AttributeError) as error:
                raise self._uri.error(
                    "token",
                    f"the token does not do this with the key ({type(error).__name__})",
                    "the key must be made for signing, or for deriving",
                ) from None


def _key(pkcs11: Any, private: _Object, public: Any) -> Key:
    parameters = bytes(public[pkcs11.Attribute.EC_PARAMS]).hex()
    # A DER octet string; some tokens leave the wrapper out. The point is at its end either way.
    point = bytes(public[pkcs11.Attribute.EC_POINT])
    handle: TokenSigningKey | TokenX25519Key
    if parameters in _CURVES:
        curve, algorithm = _CURVES[parameters]
        size = 1 + 2 * ((curve.key_size + 7) // 8)
        encoded = ec.EllipticCurvePublicKey.from_encoded_point(curve, point[-size:])
        handle = TokenSigningKey(private, encoded)
        return Key("signing", algorithm, True, _der(handle), handle)
    if parameters in _X25519:
        raw = x25519.X25519PublicKey.from_public_bytes(point[-32:])
        handle = TokenX25519Key(private, raw)
        return Key("recipient", "x25519", True, _der(handle), handle)
    raise KeyFileError(
        "the token's key is on none of the curves P-256, P-384 and X25519",
        code="pkcs11-curve",
        place="pkcs11:",
        remedy="make the token make another key",
    )


def _der(handle: TokenSigningKey | TokenX25519Key) -> bytes:
    return handle.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class TokenSigningKey(ec.EllipticCurvePrivateKey):
    """An ECDSA key of which ``sign`` works in a token; it has no bytes to give."""

    def __init__(self, private: _Object, public: ec.EllipticCurvePublicKey) -> None:
        self._private, self._public = private, public

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """ASN.1 DER signature over ``data``, whose digest is made here."""
        algorithm = signature_algorithm.algorithm
        if isinstance(algorithm, utils.Prehashed):
            digest = bytes(data)
        else:
            context = hashes.Hash(algorithm)
            context.update(data)
            digest = context.finalize()
        mechanism = self._private.pkcs11.Mechanism.ECDSA
        raw = self._private.call(lambda key: key.sign(digest, mechanism=mechanism))
        half = len(raw) // 2
        return utils.encode_dss_signature(
            int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
        )

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256 or P-384."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Bits."""
        return self._public.key_size

    def exchange(self, *_: Any) -> NoReturn:
        """Refused: this key signs."""
        _stays()

    def private_numbers(self) -> NoReturn:
        """Refused: the key does not leave the token."""
        _stays()

    def private_bytes(self, *_: Any) -> NoReturn:
        """Refused: the key does not leave the token."""
        _stays()

    def __copy__(self) -> TokenSigningKey:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> TokenSigningKey:
        return self


class TokenX25519Key(x25519.X25519PrivateKey):
    """An X25519 key of which ``exchange`` works in a token; it has no bytes to give."""

    def __init__(self, private: _Object, public: x25519.X25519PublicKey) -> None:
        self._private, self._public = private, public

    def exchange(self, peer_public_key: x25519.X25519PublicKey) -> bytes:
        """The shared secret, 32 bytes.

        Raises:
            ValueError: it is zero: the peer's key is of low order (RFC 7748, section 6.1).
        """
        pkcs11 = self._private.pkcs11
        peer = peer_public_key.public_bytes_raw()

        def derive(key: Any) -> bytes:
            shared = key.derive_key(
                pkcs11.KeyType.GENERIC_SECRET,
                256,
                mechanism=pkcs11.Mechanism.ECDH1_DERIVE,
                mechanism_param=(pkcs11.KDF.NULL, None, peer),
                template={pkcs11.Attribute.SENSITIVE: False, pkcs11.Attribute.EXTRACTABLE: True},
            )
            value = bytes(shared[pkcs11.Attribute.VALUE])
            shared.destroy()
            return value

        secret = self._private.call(derive)
        if not any(secret):
            raise ValueError("the shared secret is zero")
        return secret

    def public_key(self) -> x25519.X25519PublicKey:
        """The public half."""
        return self._public

    def private_bytes(self, *_: Any) -> NoReturn:
        """Refused: the key does not leave the token."""
        _stays()

    def private_bytes_raw(self) -> NoReturn:
        """Refused: the key does not leave the token."""
        _stays()

    def __copy__(self) -> TokenX25519Key:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> TokenX25519Key:
        return self


def _stays() -> NoReturn:
    raise KeyFileError(
        "the key is in a token and does not leave it",
        code="pkcs11-key-stays",
        place="pkcs11:",
        remedy="use the token for what needs the key",
    )
