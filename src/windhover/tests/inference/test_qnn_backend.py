"""The qnn backend on the HTP emulator: what it keeps, refuses and says."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.quantised_bundle import FOREIGN_OP, write_manifest, write_onnx_with_foreign_op
from windhover.errors import BackendError, ConfigError
from windhover.inference import Backend, open_backend
from windhover.inference.qnn import QnnBackend
from windhover.model.bundle import Bundle
from windhover_sim.blob_bundle import build_blob_bundle


def grey(bundle: Bundle) -> np.ndarray:
    return np.full(bundle.input.shape, 90, np.uint8)


def test_the_compiled_graph_is_cached_and_used(
    htp_bundle: Bundle, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = QnnBackend(htp_bundle)
    assert isinstance(first, Backend)
    expected = [output.copy() for output in first.run(grey(htp_bundle))]
    first.close()
    kept = list((own_cache / "graphs").iterdir())
    assert len(kept) == 1
    assert kept[0].name.startswith(htp_bundle.files["int8_onnx"].sha256[:16] + "-qcs8550-")
    compiled = {file.name: file.stat().st_mtime_ns for file in kept[0].iterdir()}
    second = QnnBackend(htp_bundle)
    for mine, same in zip(second.run(grey(htp_bundle)), expected, strict=True):
        np.testing.assert_array_equal(mine, same)
    second.close()
    assert {file.name: file.stat().st_mtime_ns for file in kept[0].iterdir()} == compiled
    for file in kept[0].iterdir():
        file.write_bytes(file.read_bytes()[:50])
    with caplog.at_level(logging.WARNING):
        QnnBackend(htp_bundle).close()
    assert "compiled again" in caplog.text


def test_it_runs_without_a_writable_cache(
    htp_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WINDHOVER_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        backend = QnnBackend(htp_bundle)
    assert "set WINDHOVER_CACHE" in caplog.text
    backend.run(grey(htp_bundle))
    backend.close()


def test_it_is_reported_as_a_slow_emulator(
    htp_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        backend = QnnBackend(htp_bundle)
    assert backend.device.startswith("HTP emulator on x86_64, for QCS8550 (HTP v73), ONNX Runtime")
    assert "seconds a frame" in caplog.text
    backend.close()


def test_bad_options_and_bundles(htp_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no SoC 'exynos'"):
        open_backend(htp_bundle, "qnn", soc="exynos")
    with pytest.raises(ConfigError, match="performance 'warp'"):
        open_backend(htp_bundle, "qnn", performance="warp")
    with pytest.raises(BackendError, match="no int8_onnx for the qnn backend, only float_onnx"):
        QnnBackend(build_blob_bundle(tmp_path / "floats", height=64, width=96))


def test_an_op_that_no_htp_has_is_named(htp_bundle: Bundle, tmp_path: Path) -> None:
    write_onnx_with_foreign_op(tmp_path / "int8.onnx")
    with pytest.raises(BackendError, match=rf"not on the HTP: {FOREIGN_OP} \(Shrink\)"):
        QnnBackend(write_manifest(tmp_path))


def test_wrong_image_and_use_after_closing(htp_bundle: Bundle) -> None:
    backend = QnnBackend(htp_bundle)
    with pytest.raises(BackendError, match=r"takes uint8 \(1, 32, 64, 1\), not uint8 \(32, 64\)"):
        backend.run(np.zeros((32, 64), np.uint8))
    with pytest.raises(BackendError, match="not float32"):
        backend.run(grey(htp_bundle).astype(np.float32))
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed; open it again"):
        backend.run(grey(htp_bundle))


def test_a_run_that_fails(htp_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = QnnBackend(htp_bundle)

    class Broken:
        def run_with_iobinding(self, *_: Any) -> None:
            raise RuntimeError("QNN graph execute error: 6004\nmore")

    session, backend._session = backend._session, Broken()
    with pytest.raises(BackendError) as caught:
        backend.run(grey(htp_bundle))
    assert "graph execute error: 6004" in str(caught.value)
    assert "open the backend again" in str(caught.value)
    assert "\n" not in str(caught.value)
    backend._session = session
    backend.run(grey(htp_bundle))
    backend.close()
