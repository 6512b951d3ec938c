from __future__ import annotations

import platform
from pathlib import Path

import pytest

from tests.support.quantised_bundle import build_quantised_bundle, write_manifest
from windhover.model.bundle import Bundle


@pytest.fixture(scope="session")
def htp_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny quantised bundle with the .dlc that is built from its int8.onnx."""
    if platform.machine() != "x86_64":
        pytest.skip("the HTP emulator exists for x86_64 only")
    pytest.importorskip(
        "onnxruntime_qnn", reason="onnxruntime-qnn is not installed, so there is no HTP emulator"
    )
    from windhover.inference.build import build_dlc

    root = build_quantised_bundle(tmp_path_factory.mktemp("htp") / "tiny").root
    build_dlc(root / "int8.onnx", root / "int8.dlc")
    return write_manifest(root)


@pytest.fixture(scope="session")
def qcs8550_bin(htp_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same graph compiled for the QCS8550, in a separate folder."""
    from windhover.inference.build import build_context

    folder = tmp_path_factory.mktemp("bin")
    return build_context(htp_bundle.root / "int8.onnx", folder / "qcs8550.bin")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No compiled graph of another run is found, and none is left behind."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("WINDHOVER_CACHE", str(folder))
    return folder


@pytest.fixture
def on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``auto`` believe that there is an HTP; what then runs is still the emulator."""
    from windhover import inference

    devices = {
        name: inference.BackendEntry(entry.open, entry.options, entry.probe)
        for name, entry in inference.BACKENDS.items()
    }
    monkeypatch.setattr(inference, "BACKENDS", devices)
