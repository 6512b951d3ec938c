"""Signatures of model bundles: Ed25519 over ``bundle.yaml``, which holds every file's SHA-256.

The signature is the 64 bytes of RFC 8032, in ``bundle.yaml.sig`` beside the manifest, so
that OpenSSL checks it as well::

    openssl pkeyutl -verify -rawin -in bundle.yaml -sigfile bundle.yaml.sig -pubin -inkey key.pub

Keys are PEM, as OpenSSL writes them, or the raw 32 bytes. ``cryptography`` does the
arithmetic; it is needed only where a key is given.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from windhover.errors import BundleError, ConfigError
from windhover.files import write_bytes_atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

SIGNATURE_NAME = "bundle.yaml.sig"
SIGNATURE_BYTES = 64
_RAW_KEY_BYTES = 32
_MAX_KEY_BYTES = 1 << 14
_MAKE_KEY = "make one with 'openssl genpkey -algorithm ed25519'"


def load_public_key(path: str | os.PathLike[str]) -> Ed25519PublicKey:
    """Read the key that bundles are checked against.

    Args:
        path: PEM (``openssl pkey -pubout``) or 32 raw bytes.

    Raises:
        ConfigError: unreadable, malformed, of another kind, or a private key.
    """
    _need_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = _read_key("public key", path)
    if len(data) == _RAW_KEY_BYTES:
        return Ed25519PublicKey.from_public_bytes(data)
    if b"PRIVATE KEY" in data:
        raise ConfigError(
            f"public key {path} is a private key, which belongs on no drone: "
            f"give what 'openssl pkey -in {path} -pubout' prints"
        )
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"public key {path} is neither PEM nor {_RAW_KEY_BYTES} raw bytes; {_MAKE_KEY} and "
            "'openssl pkey -pubout'"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"public key {path} is no Ed25519 key; {_MAKE_KEY}")
    return key


def load_private_key(path: str | os.PathLike[str]) -> Ed25519PrivateKey:
    """Read the key that a release is signed with.

    Args:
        path: PEM without a passphrase, or 32 raw bytes.

    Raises:
        ConfigError: unreadable, malformed, encrypted, of another kind, or a public key.
    """
    _need_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read_key("private key", path)
    if len(data) == _RAW_KEY_BYTES:
        return Ed25519PrivateKey.from_private_bytes(data)
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError as error:
        raise ConfigError(
            f"private key {path} has a passphrase; take it off with 'openssl pkey -in {path}' "
            "into a file that only you can read"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"private key {path} is neither a private key in PEM nor {_RAW_KEY_BYTES} raw bytes; "
            f"{_MAKE_KEY}"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"private key {path} is no Ed25519 key; {_MAKE_KEY}")
    return key


def fingerprint(key: Ed25519PublicKey) -> str:
    """First 12 hex digits of the SHA-256 of the key's raw bytes: what a person compares."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:12]


def sign_manifest(manifest: Path, key: Ed25519PrivateKey) -> Path:
    """Write the signature of a bundle's manifest beside it.

    Args:
        manifest: the bundle's ``bundle.yaml``, verified by the caller.
        key: of whoever releases it.

    Returns:
        The signature's file.

    Raises:
        BundleError: the folder can't be read or written.
    """
    target = manifest.with_name(SIGNATURE_NAME)
    try:
        write_bytes_atomic(target, key.sign(manifest.read_bytes()))
    except OSError as error:
        raise BundleError(
            f"{target} can't be written ({error.strerror}); check the folder's permissions"
        ) from error
    return target


def check_signature(manifest: Path, text: bytes, key: Ed25519PublicKey) -> None:
    """Refuse a manifest that the holder of a key has not signed.

    Args:
        manifest: its path.
        text: its bytes, as they will be parsed.
        key: to check against.

    Raises:
        BundleError: there is no signature, or not this key's of this text.
    """
    from cryptography.exceptions import InvalidSignature

    path = manifest.with_name(SIGNATURE_NAME)
    signer = fingerprint(key)
    try:
        with path.open("rb") as stream:
            signature = stream.read(SIGNATURE_BYTES + 1)
    except FileNotFoundError:
        raise BundleError(
            f"{manifest} is not signed and a signature by key {signer} is required: take a "
            "signed release, or sign it with 'windhover bundle sign'"
        ) from None
    except OSError as error:
        raise BundleError(f"{path} can't be read ({error.strerror}); check it") from error
    if len(signature) != SIGNATURE_BYTES:
        raise BundleError(f"{path} is no signature of {SIGNATURE_BYTES} bytes; fetch it again")
    try:
        key.verify(signature, text)
    except InvalidSignature:
        raise BundleError(
            f"{path} is not key {signer}'s signature of this {manifest.name}: it was changed, or "
            "signed with another key; fetch the bundle again from its maker"
        ) from None


def _read_key(what: str, path: str | os.PathLike[str]) -> bytes:
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(_MAX_KEY_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{what} {path} can't be read: {error.strerror}; check it") from error
    if len(data) > _MAX_KEY_BYTES:
        raise ConfigError(f"{what} {path} is too long for a key; {_MAKE_KEY}")
    return data


def _need_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "a bundle's signature needs the package cryptography, which is not installed: "
            "pip install cryptography, or Ubuntu's python3-cryptography"
        ) from error
