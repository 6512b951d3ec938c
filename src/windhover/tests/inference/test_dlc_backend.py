"""The dlc backend on the HTP emulator: what it gives, keeps, refuses and frees."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.support.quantised_bundle import build_quantised_bundle, write_manifest
from windhover.errors import BackendError, BundleError, ConfigError
from windhover.inference import Backend, open_backend
from windhover.inference.dlc import DlcBackend
from windhover.inference.qnn_api.errors import QnnError
from windhover.inference.qnn_api.functions import Functions
from windhover.model.bundle import Bundle


def noise(bundle: Bundle, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, bundle.input.shape, np.uint8)


def outputs_of(backend: Backend, image: np.ndarray) -> list[np.ndarray]:
    return [output.copy() for output in backend.run(image)]


def copy_of(bundle: Bundle, folder: Path) -> Path:
    return Path(shutil.copytree(bundle.root, folder / "copy"))


def test_it_gives_bit_for_bit_what_onnx_runtime_gives(htp_bundle: Bundle) -> None:
    dlc, qnn = open_backend(htp_bundle, "dlc"), open_backend(htp_bundle, "qnn")
    cpu = open_backend(htp_bundle, "cpu", threads=1)
    assert isinstance(dlc, Backend)
    for seed in range(3):
        image = noise(htp_bundle, seed)
        found, twin, near = (outputs_of(each, image) for each in (dlc, qnn, cpu))
        assert [o.shape for o in found] == [
            htp_bundle.output_shape(o) for o in htp_bundle.head.outputs
        ]
        for mine, same, close in zip(found, twin, near, strict=True):
            assert mine.dtype == np.uint8
            assert mine.std() > 5
            np.testing.assert_array_equal(mine, same)
            # The HTP rounds otherwise than the CPU, by a step now and then.
            assert np.abs(mine.astype(int) - close).max() <= 1
    dlc.close()
    qnn.close()


def test_a_view_that_is_not_contiguous_is_read_right(htp_bundle: Bundle) -> None:
    wide = np.repeat(noise(htp_bundle), 2, axis=2)
    with_copy = DlcBackend(htp_bundle)
    expected = outputs_of(with_copy, np.ascontiguousarray(wide[:, :, ::2]))
    for mine, same in zip(outputs_of(with_copy, wide[:, :, ::2]), expected, strict=True):
        np.testing.assert_array_equal(mine, same)
    with_copy.close()


def test_it_is_reported_as_a_slow_emulator(
    htp_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        backend = DlcBackend(htp_bundle)
    assert backend.name == "dlc"
    assert backend.device.startswith("HTP emulator on x86_64, for QCS8550 (HTP v73), QNN 2.51")
    assert "seconds a frame" in caplog.text
    backend.close()


def test_it_takes_neither_onnx_nor_onnx_runtime(htp_bundle: Bundle) -> None:
    program = (
        "import sys\n"
        "from windhover.model.bundle import Bundle\n"
        "from windhover.inference import open_backend\n"
        "import numpy as np\n"
        f"bundle = Bundle.load({str(htp_bundle.root)!r})\n"
        "backend = open_backend(bundle, 'dlc')\n"
        "backend.run(np.zeros(bundle.input.shape, np.uint8))\n"
        "backend.close()\n"
        "print(sorted({'onnx', 'onnxruntime'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Nor is there anything of what the emulator prints when it loads.
    assert done.stdout == "[]\n"
    assert "LIBNATIVE" not in done.stderr


def test_the_compiled_graph_is_cached_and_used(
    htp_bundle: Bundle, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = noise(htp_bundle)
    first = DlcBackend(htp_bundle)
    expected = outputs_of(first, image)
    first.close()
    assert "int8.dlc compiled here" in first.device
    kept = list((own_cache / "graphs").iterdir())
    assert len(kept) == 1
    assert kept[0].name.startswith(htp_bundle.files["int8_dlc"].sha256[:16] + "-qcs8550-")
    second = DlcBackend(htp_bundle)
    assert f"as compiled in {kept[0].name}" in second.device
    for mine, same in zip(outputs_of(second, image), expected, strict=True):
        np.testing.assert_array_equal(mine, same)
    second.close()
    assert "compiled here" in DlcBackend(htp_bundle, fresh=True).device
    kept[0].write_bytes(kept[0].read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        assert "compiled here" in DlcBackend(htp_bundle).device
    assert "the .dlc is compiled instead" in caplog.text
    assert "as compiled in" in DlcBackend(htp_bundle).device


def test_it_runs_without_a_writable_cache(
    htp_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WINDHOVER_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        DlcBackend(htp_bundle).close()
    assert "can't be kept" in caplog.text
    assert "set WINDHOVER_CACHE" in caplog.text


def test_the_released_context_is_used_where_it_fits(
    htp_bundle: Bundle, qcs8550_bin: Path, tmp_path: Path
) -> None:
    root = copy_of(htp_bundle, tmp_path)
    shutil.copy(qcs8550_bin, root / "qcs8550.bin")
    released = write_manifest(root)
    backend = DlcBackend(released)
    assert "as compiled in qcs8550.bin" in backend.device
    expected = outputs_of(DlcBackend(htp_bundle, fresh=True), noise(htp_bundle))
    for mine, same in zip(outputs_of(backend, noise(released)), expected, strict=True):
        np.testing.assert_array_equal(mine, same)
    assert "SM8550 (HTP v73)" in DlcBackend(released, soc="sm8550").device
    assert "compiled here" in DlcBackend(released, soc="sm8550", fresh=True).device


def test_a_context_for_another_chip_is_not_used(
    htp_bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from windhover.inference.build import build_context

    root = copy_of(htp_bundle, tmp_path)
    build_context(root / "int8.onnx", root / "qcs8550.bin", "sm8650")
    with caplog.at_level(logging.WARNING):
        backend = DlcBackend(write_manifest(root))
    assert "compiled here" in backend.device
    assert "qcs8550.bin is compiled for SM8650 and this is QCS8550 (HTP v73)" in (caplog.text)
    backend.close()


def test_bad_options(htp_bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="no SoC 'exynos' here; use one of qcs8550"):
        open_backend(htp_bundle, "dlc", soc="exynos")
    with pytest.raises(ConfigError, match="performance 'warp' is unknown; use one of burst"):
        open_backend(htp_bundle, "dlc", performance="warp")
    with pytest.raises(ConfigError, match="profiling 'all' is unknown"):
        open_backend(htp_bundle, "dlc", profiling="all")


def test_a_bundle_without_a_dlc(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no int8_dlc for the dlc backend, only int8_onnx"):
        DlcBackend(build_quantised_bundle(tmp_path / "plain"))


@pytest.mark.parametrize("damage", ["text", "cut", "half", "flipped", "version"])
def test_a_file_that_is_no_dlc(htp_bundle: Bundle, tmp_path: Path, damage: str) -> None:
    root = copy_of(htp_bundle, tmp_path)
    complete = (root / "int8.dlc").read_bytes()
    flipped = bytearray(complete)
    for place in range(200, len(flipped) - 200, 97):
        flipped[place] ^= 0x55
    damaged = {
        "text": b"not a graph " * 500,
        "cut": complete[:-1],
        "half": complete[: len(complete) // 2],
        "flipped": bytes(flipped),
        # As a later QNN would write it; its form has the version in its name.
        "version": complete.replace(b"dlc.metadata2.3.0", b"dlc.metadata9.9.0"),
    }
    assert damaged[damage] != complete
    (root / "int8.dlc").write_bytes(damaged[damage])
    with pytest.raises(BackendError) as caught:
        DlcBackend(write_manifest(root))
    message = str(caught.value)
    assert "int8.dlc" in message
    assert ("of version 9.9 and the dlc backend was proved with 2.3" in message) == (
        damage == "version"
    )
    assert "fetch the bundle again" in message
    assert "\n" not in message
    # The process goes on, and so does the next bundle.
    DlcBackend(htp_bundle).close()


def test_a_dlc_of_another_graph(htp_bundle: Bundle, tmp_path: Path) -> None:
    from windhover.inference.build import build_dlc

    root = build_quantised_bundle(tmp_path / "other", head_scale=0.04).root
    build_dlc(root / "int8.onnx", root / "int8.dlc")
    with pytest.raises(BundleError, match=r"output box_s8 has scale 0\.0399.* where 0\.05"):
        DlcBackend(write_manifest(root))


def test_wrong_image(htp_bundle: Bundle) -> None:
    backend = DlcBackend(htp_bundle)
    with pytest.raises(BackendError, match=r"takes uint8 \(1, 32, 64, 1\), not uint8 \(32, 64\)"):
        backend.run(np.zeros((32, 64), np.uint8))
    with pytest.raises(BackendError, match="not float32"):
        backend.run(noise(htp_bundle).astype(np.float32))
    backend.run(noise(htp_bundle))


def test_a_run_that_fails(htp_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = DlcBackend(htp_bundle)
    expected = outputs_of(backend, noise(htp_bundle))
    call = Functions.__call__

    def failing(self: Functions, name: str, *arguments: object, **more: object) -> None:
        if name == "graphExecute":
            raise QnnError(name, 1007, self.name_code(1007))
        call(self, name, *arguments, **more)

    monkeypatch.setattr(Functions, "__call__", failing)
    with pytest.raises(BackendError) as caught:
        backend.run(noise(htp_bundle))
    assert "a run of" in str(caught.value)
    assert "graphExecute: QNN_COMMON_ERROR_SYSTEM_COMMUNICATION" in str(caught.value)
    assert "open the backend again" in str(caught.value)
    monkeypatch.undo()
    backend.close()
    for mine, same in zip(
        outputs_of(DlcBackend(htp_bundle), noise(htp_bundle)), expected, strict=True
    ):
        np.testing.assert_array_equal(mine, same)


def test_two_threads_at_once_are_refused(
    htp_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = DlcBackend(htp_bundle)
    inside, leave = threading.Event(), threading.Event()
    call = Functions.__call__

    def waiting(self: Functions, name: str, *arguments: object, **more: object) -> None:
        if name == "graphExecute":
            inside.set()
            leave.wait(60)
        call(self, name, *arguments, **more)

    monkeypatch.setattr(Functions, "__call__", waiting)
    other = threading.Thread(target=backend.run, args=(noise(htp_bundle),))
    other.start()
    assert inside.wait(60)
    try:
        with pytest.raises(BackendError, match="two threads at once; give each its own"):
            backend.run(noise(htp_bundle))
    finally:
        leave.set()
        other.join()
    backend.run(noise(htp_bundle))
    backend.close()


def test_closing_twice_and_running_after(htp_bundle: Bundle) -> None:
    backend = DlcBackend(htp_bundle, profiling="basic")
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed; open it again"):
        backend.run(noise(htp_bundle))
    with pytest.raises(BackendError, match="profiling=basic"):
        backend.measurements()


def test_profiles(htp_bundle: Bundle) -> None:
    basic = DlcBackend(htp_bundle, profiling="basic")
    basic.run(noise(htp_bundle))
    times = {m.name: m.value for m in basic.measurements() if m.unit == "us"}
    assert times["QNN (execute) time"] > 0
    basic.close()
    detailed = DlcBackend(htp_bundle, profiling="detailed")
    detailed.run(noise(htp_bundle))
    nodes = [m for m in detailed.measurements() if m.depth == 1 and m.unit == "cycles"]
    assert any("stem" in node.name and node.value > 0 for node in nodes)
    detailed.close()
    plain = DlcBackend(htp_bundle)
    with pytest.raises(BackendError, match="open backend dlc with profiling=basic"):
        plain.measurements()


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def test_a_hundred_openings_leave_no_memory_behind(htp_bundle: Bundle) -> None:
    image = noise(htp_bundle)

    def least_growth_kib(fresh: bool, each: int) -> int:
        """Least growth over four rows of openings.

        What is lost at each opening grows in every row. An arena that the allocator takes
        once, for whatever else the process has done, grows in one.
        """
        growth = []
        for _ in range(4):
            before = resident_kib()
            for _ in range(each):
                backend = DlcBackend(htp_bundle, fresh=fresh)
                backend.run(image)
                backend.close()
            growth.append(resident_kib() - before)
        return min(growth)

    # The compiler's own heap settles by some ten KiB a time.
    assert least_growth_kib(fresh=True, each=6) < 1024
    assert least_growth_kib(fresh=False, each=25) < 256


def test_two_at_a_time_do_not_mix(htp_bundle: Bundle, tmp_path: Path) -> None:
    from windhover.inference.build import build_dlc

    root = build_quantised_bundle(tmp_path / "other", seed=1).root
    build_dlc(root / "int8.onnx", root / "int8.dlc")
    image = noise(htp_bundle)
    one, two = DlcBackend(htp_bundle), DlcBackend(write_manifest(root))
    first, second = outputs_of(one, image), outputs_of(two, image)
    assert not np.array_equal(first[0], second[0])
    two.close()
    for mine, same in zip(outputs_of(one, image), first, strict=True):
        np.testing.assert_array_equal(mine, same)
    one.close()
