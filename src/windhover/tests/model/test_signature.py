"""A bundle that must be signed flies only as its maker signed it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="cryptography is not installed: run 'make setup'")

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from windhover.errors import BundleError, ConfigError
from windhover.model.bundle import Bundle, write_bundle
from windhover.model.signature import (
    SIGNATURE_NAME,
    fingerprint,
    load_private_key,
    load_public_key,
    sign_manifest,
)

MANIFEST = {
    "name": "night-n",
    "version": "0.1.0",
    "labels": ["person"],
    "channels": "thermal",
    "input": {"name": "images", "height": 64, "width": 64, "channels": 1},
    "head": {
        "family": "yolo11",
        "reg_max": 16,
        "strides": [8],
        "outputs": [
            {"name": "box", "stride": 8, "kind": "box"},
            {"name": "score", "stride": 8, "kind": "score"},
        ],
    },
}


def pem_of(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem_of(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def public(key: Ed25519PrivateKey, tmp_path: Path) -> Path:
    path = tmp_path / "release.pub"
    path.write_bytes(public_pem_of(key))
    return path


@pytest.fixture
def signed(key: Ed25519PrivateKey, tmp_path: Path) -> Path:
    root = tmp_path / "night-n"
    root.mkdir()
    (root / "float.onnx").write_bytes(b"float graph")
    write_bundle(root, MANIFEST)
    sign_manifest(root / "bundle.yaml", key)
    return root


def refusal(root: Path, public: Path) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle.load(root, public_key=public)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_signed_bundle_is_loaded_and_names_the_key(
    signed: Path, public: Path, key: Ed25519PrivateKey
) -> None:
    bundle = Bundle.load(signed, public_key=public)
    assert bundle.signature == f"key {fingerprint(key.public_key())}"
    assert len(fingerprint(key.public_key())) == 12


def test_without_a_key_nothing_is_checked_and_the_signature_is_reported(signed: Path) -> None:
    assert Bundle.load(signed).signature == "not checked"
    assert Bundle.load(signed, public_key="").signature == "not checked"
    (signed / SIGNATURE_NAME).unlink()
    assert Bundle.load(signed).signature == "unsigned"


def test_a_missing_signature(signed: Path, public: Path) -> None:
    (signed / SIGNATURE_NAME).unlink()
    message = refusal(signed, public)
    assert "bundle.yaml is not signed" in message
    assert "windhover bundle sign" in message


def test_a_manifest_changed_by_one_letter(signed: Path, public: Path) -> None:
    path = signed / "bundle.yaml"
    path.write_bytes(path.read_bytes().replace(b"0.1.0", b"0.1.1"))
    assert "signature of this bundle.yaml" in refusal(signed, public)


def test_a_changed_file_with_its_new_hash_in_the_manifest(signed: Path, public: Path) -> None:
    (signed / "float.onnx").write_bytes(b"other graph")
    assert "SHA-256" in refusal(signed, public)
    write_bundle(signed, MANIFEST)
    assert Bundle.load(signed).signature == "not checked"
    assert "signature of this bundle.yaml" in refusal(signed, public)


def test_a_manifest_is_not_even_parsed_before_its_signature_is_right(
    signed: Path, public: Path
) -> None:
    (signed / "bundle.yaml").write_bytes(b"[" * 1000)
    assert "signature of this bundle.yaml" in refusal(signed, public)


def test_the_signature_of_another_key(signed: Path, public: Path) -> None:
    other = Ed25519PrivateKey.generate()
    sign_manifest(signed / "bundle.yaml", other)
    message = refusal(signed, public)
    assert "another key" in message
    assert fingerprint(load_public_key(public)) in message


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 65, b"\0" * 64])
def test_a_damaged_signature(signed: Path, public: Path, damage: bytes) -> None:
    (signed / SIGNATURE_NAME).write_bytes(damage)
    assert SIGNATURE_NAME in refusal(signed, public)


def test_a_folder_in_place_of_the_signature(signed: Path, public: Path) -> None:
    (signed / SIGNATURE_NAME).unlink()
    (signed / SIGNATURE_NAME).mkdir()
    assert "can't be read" in refusal(signed, public)


def test_keys_as_raw_bytes(signed: Path, key: Ed25519PrivateKey, tmp_path: Path) -> None:
    (tmp_path / "raw.pub").write_bytes(key.public_key().public_bytes_raw())
    (tmp_path / "raw.key").write_bytes(key.private_bytes_raw())
    sign_manifest(signed / "bundle.yaml", load_private_key(tmp_path / "raw.key"))
    assert Bundle.load(signed, public_key=tmp_path / "raw.pub").signature.startswith("key ")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda key: b"", "neither PEM nor 32 raw bytes"),
        (lambda key: b"-----BEGIN PUBLIC KEY-----\nrubbish\n", "neither PEM nor 32 raw bytes"),
        (lambda key: public_pem_of(key)[:60], "neither PEM nor 32 raw bytes"),
        (pem_of, "is a private key"),
        (
            lambda key: generate_private_key(SECP256R1()).public_key().public_bytes(
                Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
            ),
            "no Ed25519 key",
        ),
        (lambda key: b"x" * 20_000, "too long for a key"),
    ],
)  # fmt: skip
def test_a_damaged_public_key(
    signed: Path, key: Ed25519PrivateKey, tmp_path: Path, make: object, expected: str
) -> None:
    path = tmp_path / "bad.pub"
    path.write_bytes(make(key))  # type: ignore[operator]
    with pytest.raises(ConfigError) as caught:
        Bundle.load(signed, public_key=path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_public_key_is_an_error(signed: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere can't be read"):
        Bundle.load(signed, public_key=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda key: b"rubbish", "neither a private key in PEM"),
        (public_pem_of, "neither a private key in PEM"),
        (
            lambda key: key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")
            ),
            "has a passphrase",
        ),
        (
            lambda key: generate_private_key(SECP256R1()).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            ),
            "no Ed25519 key",
        ),
    ],
)
def test_a_damaged_private_key(
    key: Ed25519PrivateKey, tmp_path: Path, make: object, expected: str
) -> None:
    path = tmp_path / "bad.key"
    path.write_bytes(make(key))  # type: ignore[operator]
    with pytest.raises(ConfigError) as caught:
        load_private_key(path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_can_not_be_written(signed: Path, key: Ed25519PrivateKey) -> None:
    with pytest.raises(BundleError, match="can't be written"):
        sign_manifest(signed / "nowhere" / "bundle.yaml", key)


def test_without_cryptography_a_key_is_refused_and_not_ignored(
    signed: Path, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert Bundle.load(signed).signature == "not checked"
    with pytest.raises(ConfigError, match="needs the package cryptography"):
        Bundle.load(signed, public_key=public)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_the_signature_and_its_keys_work(signed: Path, tmp_path: Path) -> None:
    def openssl(*words: str | Path) -> str:
        ran = subprocess.run(["openssl", *words], capture_output=True, text=True, check=True)
        return ran.stdout

    private, public = tmp_path / "openssl.key", tmp_path / "openssl.pub"
    openssl("genpkey", "-algorithm", "ed25519", "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    signature = sign_manifest(signed / "bundle.yaml", load_private_key(private))
    assert Bundle.load(signed, public_key=public).signature.startswith("key ")
    answer = openssl(
        "pkeyutl", "-verify", "-rawin", "-in", signed / "bundle.yaml",
        "-sigfile", signature, "-pubin", "-inkey", public,
    )  # fmt: skip
    assert "Verified Successfully" in answer
