"""Opening backends: which file, which options, and the message when it can't be opened."""

from __future__ import annotations

import builtins
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from windhover import inference
from windhover.errors import BackendError, BundleError, ConfigError
from windhover.inference import (
    Backend,
    BackendEntry,
    available_backends,
    choose_backend,
    open_backend,
)
from windhover.inference.cpu import CpuBackend
from windhover.model.bundle import Bundle, write_bundle
from windhover_sim.blob_bundle import build_blob_bundle

HW = {"height": 64, "width": 96}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build_blob_bundle(tmp_path_factory.mktemp("m") / "both", quantised=True, **HW)


@pytest.fixture
def float_only(tmp_path: Path) -> Bundle:
    return build_blob_bundle(tmp_path / "floats", **HW)


def image(bundle: Bundle, level: int = 0) -> np.ndarray:
    return np.full(bundle.input.shape, level, np.uint8)


def rewrite(bundle: Bundle) -> Bundle:
    """Take the files as they are now into the manifest, so that the hashes agree."""
    data = bundle.model_dump(mode="json", exclude={"format", "files"})
    return write_bundle(bundle.root, data)


def test_a_cached_graph_gives_the_same_outputs(
    both: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WINDHOVER_CACHE", str(tmp_path))
    picture = np.random.default_rng(0).integers(0, 256, both.input.shape, np.uint8)
    wanted = [np.copy(o) for o in open_backend(both, "cpu", threads=1).run(picture)]

    def opened() -> None:
        outputs = open_backend(both, "cpu", threads=1, keep=True).run(picture)
        for output, one in zip(outputs, wanted, strict=True):
            np.testing.assert_array_equal(output, one)

    opened()
    (kept,) = (tmp_path / "graphs").iterdir()
    made = kept.stat().st_mtime_ns
    opened()
    assert kept.stat().st_mtime_ns == made
    kept.write_bytes(kept.read_bytes()[:100])
    opened()
    assert "optimised again" in caplog.text
    assert kept.stat().st_size > 100


def test_it_runs_without_a_writable_cache(
    both: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WINDHOVER_CACHE", str(tmp_path / "file"))
    assert len(open_backend(both, "cpu", keep=True).run(image(both))) == len(both.head.outputs)
    assert "set WINDHOVER_CACHE" in caplog.text


def test_outputs_in_declared_order_shape_and_type(both: Bundle) -> None:
    backend = open_backend(both, "cpu", precision="float", threads=1)
    assert isinstance(backend, Backend)
    outputs = backend.run(image(both))
    assert [o.shape for o in outputs] == [both.output_shape(o) for o in both.head.outputs]
    assert {str(o.dtype) for o in outputs} == {"float32"}
    integers = open_backend(both, "cpu", precision="int8", threads=1).run(image(both))
    assert [o.shape for o in integers] == [o.shape for o in outputs]
    assert {str(o.dtype) for o in integers} == {"uint8"}


def test_outputs_follow_the_image(float_only: Bundle) -> None:
    backend = open_backend(float_only, threads=1)
    dark = [o.copy() for o in backend.run(image(float_only))]
    picture = image(float_only)
    picture[0, 16:48, 24:64] = 220
    warm = [o.copy() for o in backend.run(picture)]
    # Centred on column 5.5 and row 4 strides: its cells score for class 0 only.
    assert dark[1].max() < -20
    assert warm[1][0, 3, 5, 0] > 4
    assert warm[1][0, 3, 5, 1] < -20
    assert warm[1][0, 0, 0].max() < -20
    again = backend.run(image(float_only))
    np.testing.assert_array_equal(again[1], dark[1])


def test_a_view_that_is_not_contiguous_is_read_right(float_only: Bundle) -> None:
    backend = open_backend(float_only, threads=1)
    wide = np.zeros((1, 64, 192, 1), np.uint8)
    wide[:, 16:48, 48:128] = 220
    expected = backend.run(np.ascontiguousarray(wide[:, :, ::2]))[1].copy()
    assert expected.max() > 4
    np.testing.assert_array_equal(backend.run(wide[:, :, ::2])[1], expected)


def test_int8_is_preferred_over_float(both: Bundle, float_only: Bundle) -> None:
    assert "int8.onnx" in open_backend(both).device
    assert "float.onnx" in open_backend(float_only).device
    assert "float.onnx" in open_backend(both, precision="float").device
    assert "2 threads" in open_backend(both, "cpu", threads=2).device
    with pytest.raises(BackendError, match="floats has no int8_onnx for the cpu backend"):
        open_backend(float_only, "cpu", precision="int8")


@pytest.mark.parametrize("name", ["gpu", "CPU", ""])
def test_a_backend_this_build_lacks(both: Bundle, name: str) -> None:
    with pytest.raises(
        BackendError, match=rf"no backend '{name}'; it has dlc, qnn, cpu \(or auto\)"
    ):
        open_backend(both, name)


@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_bad_options(both: Bundle, name: str) -> None:
    with pytest.raises(ConfigError, match=f"backend {name} has no option speed"):
        open_backend(both, name, speed=3)
    with pytest.raises(ConfigError, match="precision 'half'"):
        open_backend(both, name, precision="half")
    with pytest.raises(ConfigError, match="threads is -1"):
        open_backend(both, name, threads=-1)


def test_auto_takes_the_first_that_opens_and_names_it(
    both: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(bundle: Bundle, speed: int = 0) -> Backend:
        raise BackendError(f"no DSP here for {bundle.name} at {speed}")

    fast = BackendEntry(broken, frozenset({"speed"}), lambda: (False, "no DSP"))
    monkeypatch.setattr(inference, "BACKENDS", {"fast": fast, **inference.BACKENDS})
    with caplog.at_level(logging.INFO, logger="windhover.inference"):
        backend = open_backend(both, speed=3, threads=1)
    assert backend.name == "cpu"
    assert "cpu on CPU (ONNX Runtime" in caplog.text
    assert "fast is passed over (no DSP here for both at 3)" in caplog.text
    found = choose_backend(both, speed=3, threads=1)
    assert found.skipped_backends == (
        "fast: no DSP here for both at 3",
        "dlc: no HTP here, only its emulator",
        "qnn: no HTP here, only its emulator",
    )
    assert choose_backend(both, "cpu", threads=1).skipped_backends == ()
    monkeypatch.setattr(inference, "BACKENDS", {"fast": fast})
    with pytest.raises(BackendError, match="can run both: fast: no DSP here for both at 3"):
        open_backend(both, speed=3)


def test_wrong_image(both: Bundle) -> None:
    backend = open_backend(both, threads=1)
    with pytest.raises(BackendError, match=r"takes uint8 \(1, 64, 96, 1\), not uint8 \(64, 96\)"):
        backend.run(np.zeros((64, 96), np.uint8))
    with pytest.raises(BackendError, match="not float32"):
        backend.run(image(both).astype(np.float32))


def test_closing_twice_and_running_after(both: Bundle) -> None:
    backend = open_backend(both, threads=1)
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(image(both))


def test_a_graph_that_onnx_runtime_cannot_read(float_only: Bundle) -> None:
    (float_only.root / "float.onnx").write_bytes(b"\x08\x0a not a graph")
    damaged = rewrite(float_only)
    with pytest.raises(BackendError) as caught:
        open_backend(damaged, "cpu")
    message = str(caught.value)
    assert "float.onnx can't be opened by ONNX Runtime" in message
    assert "\n" not in message


def test_a_graph_of_another_shape_than_declared(float_only: Bundle, tmp_path: Path) -> None:
    other = build_blob_bundle(tmp_path / "other", height=128, width=96)
    shutil.copy(other.root / "float.onnx", float_only.root / "float.onnx")
    with pytest.raises(BundleError, match=r"input is images uint8 1x128x96x1 where images uint8"):
        open_backend(rewrite(float_only))


def test_a_run_that_fails_inside_the_graph(float_only: Bundle) -> None:
    # A gather that leaves its tensor once the image is bright: opens, then fails.
    path = float_only.root / "float.onnx"
    model = onnx.load(path)
    index = onnx.helper.make_node("ReduceMax", ["far"], ["index"], keepdims=1)
    far = onnx.helper.make_node("Cast", ["images"], ["far"], to=onnx.TensorProto.INT64)
    flat = onnx.helper.make_node("Reshape", ["index", "one"], ["flat"])
    one = onnx.numpy_helper.from_array(np.array([1], np.int64), "one")
    first = model.graph.node[0].input[0]
    gathered = onnx.helper.make_node("Gather", [first, "flat"], ["strip"], axis=3)
    model.graph.node[0].input[0] = "strip"
    model.graph.initializer.append(one)
    for node in (gathered, flat, index, far):
        model.graph.node.insert(0, node)
    onnx.save(model, path)
    backend = open_backend(rewrite(float_only), "cpu", threads=1)
    backend.run(image(float_only, 0))
    with pytest.raises(BackendError) as caught:
        backend.run(image(float_only, 200))
    assert "a run of float.onnx on the CPU failed" in str(caught.value)
    assert "\n" not in str(caught.value)
    backend.run(image(float_only, 0))


def test_auto_never_takes_the_emulator_and_prefers_a_device(
    float_only: Bundle,
    htp_bundle: Bundle,
    on_a_device: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = open_backend(htp_bundle, threads=1)
    assert backend.name == "dlc"
    backend.close()
    # It brings nothing that an HTP could run.
    assert open_backend(float_only, threads=1).name == "cpu"
    monkeypatch.undo()
    assert open_backend(htp_bundle, threads=1).name == "cpu"


def test_auto_falls_to_qnn_where_the_version_gate_refuses(
    htp_bundle: Bundle, on_a_device: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise BackendError("QNN core API 2.99")

    monkeypatch.setattr("windhover.inference.dlc.load_libraries", refused)
    backend = open_backend(htp_bundle, threads=1)
    assert backend.name == "qnn"
    backend.close()
    with pytest.raises(BackendError, match=r"QNN core API 2\.99"):
        open_backend(htp_bundle, "dlc")


def test_doctor_lines(htp_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {status.name: status for status in available_backends()}
    assert list(found) == ["dlc", "qnn", "cpu"]
    assert all(status.usable for status in found.values())
    assert "ONNX Runtime 1." in found["cpu"].detail
    for name in ("dlc", "qnn"):
        assert found[name].detail.startswith("HTP emulator on x86_64: for checks, seconds a frame")

    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name in ("onnxruntime", "onnxruntime_qnn"):
            raise ImportError(f"No module named {name!r}")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    missing = {status.name: status for status in available_backends()}
    assert not any(status.usable for status in missing.values())
    assert "pip install onnxruntime" in missing["cpu"].detail
    for name in ("dlc", "qnn"):
        assert "pip install 'onnxruntime-qnn==2.7.0'" in missing[name].detail


def test_opening_without_onnxruntime(both: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(BackendError, match="pip install onnxruntime"):
        CpuBackend(both)
