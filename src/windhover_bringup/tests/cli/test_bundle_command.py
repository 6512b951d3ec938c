"""`windhover bundle`: what a maker signs, a drone takes, and nothing else."""

import shutil

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")
pytest.importorskip("cryptography")

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from windhover.errors import BundleError
from windhover_bringup.cli import main
from windhover_bringup.runtime.config import Config


@pytest.fixture
def keys(tmp_path):
    key = Ed25519PrivateKey.generate()
    private, public = tmp_path / "release.key", tmp_path / "release.pub"
    private.write_bytes(key.private_bytes_raw())
    public.write_bytes(key.public_key().public_bytes_raw())
    return private, public


@pytest.fixture
def folder(blob_bundle, tmp_path):
    target = tmp_path / "blob"
    shutil.copytree(blob_bundle, target)
    return target


def run(capfd, *words):
    status = main([str(word) for word in words])
    out, err = capfd.readouterr()
    return status, out, err


def test_signed_and_verified(capfd, folder, keys):
    private, public = keys
    status, out, _ = run(capfd, "bundle", "verify", folder)
    assert (status, "signature: unsigned" in out) == (0, True)
    status, out, _ = run(capfd, "bundle", "sign", folder, "--key", private)
    assert (status, "bundle.yaml.sig: signed with key" in out) == (0, True)
    status, out, _ = run(capfd, "bundle", "verify", folder)
    assert "signature: not checked" in out
    status, out, _ = run(capfd, "bundle", "verify", folder, "--key", public)
    assert (status, "signature: key " in out) == (0, True)


def test_what_was_changed_afterwards_is_refused_in_one_line(capfd, folder, keys):
    private, public = keys
    run(capfd, "bundle", "sign", folder, "--key", private)
    manifest = folder / "bundle.yaml"
    manifest.write_bytes(manifest.read_bytes() + b"# a note\n")
    status, _, err = run(capfd, "bundle", "verify", folder, "--key", public)
    assert (status, err.count("\n")) == (2, 1)
    assert "signature of this bundle.yaml" in err


def test_a_damaged_bundle_is_not_signed(capfd, folder, keys):
    (folder / "float.onnx").write_bytes(b"other")
    status, _, err = run(capfd, "bundle", "sign", folder, "--key", keys[0])
    assert status == 2
    assert "float.onnx" in err
    assert not (folder / "bundle.yaml.sig").exists()


def test_a_run_takes_only_what_is_signed_with_the_config_s_key(capfd, folder, keys):
    private, public = keys
    config = Config().with_values("detector", model=str(folder), public_key=str(public))
    with pytest.raises(BundleError, match="is not signed"):
        config.bundle()
    run(capfd, "bundle", "sign", folder, "--key", private)
    assert config.bundle().signature.startswith("key ")
