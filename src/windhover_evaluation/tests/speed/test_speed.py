"""What is measured of a backend, and what an emulator never gives."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

from tests.support.quantised_bundle import build_quantised_bundle
from windhover.errors import BackendError, ConfigError
from windhover.inference.qnn_api.profile import Measurement
from windhover_evaluation.speed import backends as speed
from windhover_evaluation.speed.backends import (
    EMULATOR_FRAMES,
    backend_names,
    htp_time_ms,
    measure,
    measure_backends,
)
from windhover_sim.blob_bundle import build_blob_bundle


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_blob_bundle(tmp_path_factory.mktemp("m") / "blobs", height=64, width=96).root


def test_a_processor_gives_latencies_of_its_own_process(blobs: Path) -> None:
    cpu, dlc = measure_backends(blobs, ["cpu", "dlc"], 7)
    assert (cpu.backend, cpu.frames, cpu.failure) == ("cpu", 7, "")
    assert cpu.runs_on.startswith("CPU (ONNX Runtime")
    assert cpu.host_seconds is None
    assert cpu.htp_ms is None
    assert cpu.latency is not None
    assert 0 < cpu.latency.p50_ms <= cpu.latency.p99_ms
    assert cpu.latency.throughput_hz == pytest.approx(1e3 / cpu.latency.average_ms)
    # Python with ONNX Runtime is not in less.
    assert cpu.peak_mib is not None
    assert cpu.peak_mib > 30
    assert "note" not in cpu.as_dict()
    # The one that can't run takes no other with it.
    assert "int8_dlc" in dlc.failure or "QNN" in dlc.failure
    assert dlc.latency is None


def test_times_are_summarised(monkeypatch: pytest.MonkeyPatch, blobs: Path) -> None:
    times = [1_000_000 * t for t in range(1, 101)]
    monkeypatch.setattr(speed, "_times_ns", lambda *_, **__: times)
    found = measure(str(blobs), "cpu", 100).latency
    assert found is not None
    assert found.average_ms == pytest.approx(50.5)
    assert (found.p50_ms, found.p99_ms) == pytest.approx((50.5, np.percentile(range(1, 101), 99)))
    assert found.throughput_hz == pytest.approx(1e3 / 50.5)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the HTP emulator is for x86_64 only")
def test_an_emulator_gives_no_latency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime_qnn", reason="there is no HTP emulator")
    monkeypatch.setenv("WINDHOVER_CACHE", str(tmp_path / "cache"))
    root = build_quantised_bundle(tmp_path / "tiny").root
    found = measure(str(root), "qnn", 50)
    assert found.failure == ""
    assert (found.latency, found.htp_ms, found.frames) == (None, None, EMULATOR_FRAMES)
    assert found.host_seconds is not None
    assert found.host_seconds > 0
    written = found.as_dict()
    assert written["note"] == "emulator, not a latency"
    assert not [key for key in written if "ms" in key or "latency" in key]


def test_a_process_that_dies_is_one_row(monkeypatch: pytest.MonkeyPatch, blobs: Path) -> None:
    # What a driver does that crashes.
    monkeypatch.setattr(speed, "measure", _die)
    (found,) = measure_backends(blobs, ["cpu"], 1)
    assert "its process died" in found.failure


def _die(*_: object) -> None:
    import os

    os._exit(11)


def test_names_of_backends() -> None:
    assert backend_names("all") == ("cpu", "dlc", "qnn")
    assert backend_names("qnn, cpu") == ("qnn", "cpu")
    for text in ("gpu", "cpu,gpu", ","):
        with pytest.raises(ConfigError, match="cpu, dlc, qnn"):
            backend_names(text)
    with pytest.raises(ConfigError, match="0 frames"):
        measure_backends("nowhere", ["cpu"], 0)


def test_time_on_the_htp_is_the_accelerators() -> None:
    profile = [
        Measurement("QNN (execute) time", 24023, "us", 0),
        Measurement("Accelerator (execute) time (cycles)", 9, "cycles", 0),
        Measurement("Accelerator (execute) time", 2150, "us", 0),
    ]
    assert htp_time_ms(profile) == pytest.approx(2.15)
    with pytest.raises(BackendError, match="Accelerator"):
        htp_time_ms(profile[:2])
