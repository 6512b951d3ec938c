"""The QNN binding: layouts, the version gate, errors by name, votes."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from windhover.errors import BackendError
from windhover.inference import soc
from windhover.inference.qnn_api import library, structs
from windhover.inference.qnn_api.context import Context
from windhover.inference.qnn_api.device import HtpDevice
from windhover.inference.qnn_api.errors import QnnError, explain_errors
from windhover.inference.qnn_api.functions import CORE, Functions
from windhover.inference.qnn_api.memory import RpcMemory
from windhover.inference.qnn_api.power import VOTES, PowerVote, power_configs
from windhover.inference.soc import SOCS
from windhover.model.bundle import Bundle


@pytest.fixture
def device(htp_bundle: Bundle) -> Iterator[HtpDevice]:
    opened = HtpDevice(library.load_libraries(), SOCS["qcs8550"])
    yield opened
    opened.close()


def test_a_layout_of_another_size_is_refused() -> None:
    with pytest.raises(AssertionError, match="Version is 8 bytes where QNN has 12"):

        @structs._size(12)
        class Version(ctypes.Structure):
            _fields_ = (("major", ctypes.c_uint32), ("minor", ctypes.c_uint32))


def test_fields_have_qnns_offsets() -> None:
    assert structs.Interface.table.offset == 40
    assert structs.SystemInterface.table.offset == 32
    assert structs.Tensor.id.offset == 8
    assert structs.Tensor.quantize.offset == 40
    assert structs.Tensor.data.offset == 104
    assert structs.HtpDeviceConfig.value.offset == 8
    assert structs.BinaryInfo.soc_model.offset == 136


@pytest.mark.parametrize("version", [(2, 39), (2, 41), (1, 40), (3, 0)])
def test_other_versions_are_refused_by_name(version: tuple[int, int]) -> None:
    with pytest.raises(BackendError) as caught:
        library.check_api_version(
            "core", structs.Version(*version, 0), library.PROVED_CORE, Path("/opt/qnn")
        )
    message = str(caught.value)
    assert f"/opt/qnn has QNN core API {version[0]}.{version[1]}" in message
    assert "proved with 2.40" in message
    assert "onnxruntime-qnn==2.7.0" in message
    assert "use backend qnn" in message


def test_the_installed_version_passes(htp_bundle: Bundle) -> None:
    libraries = library.load_libraries()
    assert (libraries.interface.core_version.major, libraries.interface.core_version.minor) == (
        2,
        40,
    )
    assert libraries.version == "2.51.0"
    assert library.load_libraries() is libraries


def test_libraries_that_are_missing(
    htp_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINDHOVER_QNN", str(tmp_path))
    with pytest.raises(BackendError, match=r"libQnnHtp\.so is missing; pip install 'onnxruntime-"):
        library.load_libraries()
    (tmp_path / "libQnnHtp.so").write_text("no library" * 100)
    with pytest.raises(BackendError, match=r"libQnnHtp\.so can't be loaded \(.*invalid ELF"):
        library.load_libraries()
    monkeypatch.undo()
    wheel = library.library_folder()
    (tmp_path / "libQnnHtp.so").unlink()
    (tmp_path / "libQnnHtp.so").symlink_to(wheel / "libQnnHtp.so")
    monkeypatch.setenv("WINDHOVER_QNN", str(tmp_path))
    with pytest.raises(BackendError, match=r"libQnnSystem\.so is missing"):
        library.load_libraries()
    monkeypatch.delenv("WINDHOVER_QNN")
    monkeypatch.setitem(sys.modules, "onnxruntime_qnn", None)
    with pytest.raises(BackendError, match="QNN libraries are not installed; pip install"):
        library.load_libraries()


def test_a_library_that_lacks_a_function() -> None:
    with pytest.raises(QnnError, match="the library lacks backendCreate"):
        Functions([0] * structs.CORE_SLOTS, {"backendCreate": CORE["backendCreate"]}, str)


def test_errors_have_qnns_names(device: HtpDevice) -> None:
    with pytest.raises(QnnError) as caught:
        device.call("graphRetrieve", None, b"nothing", ctypes.byref(ctypes.c_void_p()))
    assert caught.value.call == "graphRetrieve"
    assert caught.value.code == 6000
    assert "graphRetrieve: QNN_GRAPH_ERROR_INVALID_ARGUMENT" in str(caught.value)
    assert device.libraries.name_code(13003).endswith("_ERROR_TRANSPORT")
    assert device.libraries.name_code(30010) == "QNN_SYSTEM_ERROR_MALFORMED_BINARY"
    assert device.libraries.name_code(29999) == "a status without a name"
    expected = r"^it broke \(f: WHY \(7\); QNN logged: so\); mend it$"
    with pytest.raises(BackendError, match=expected), explain_errors("it broke", "mend it"):
        raise QnnError("f", 0xABC_0007, "WHY", "so")


def test_a_device_that_is_not_there(device: HtpDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Functions.__call__

    def failing(self: Functions, name: str, *arguments: object, **more: object) -> None:
        if name == "deviceCreate":
            raise QnnError(name, 14002, self.name_code(14002))
        freed.append(name)
        call(self, name, *arguments, **more)

    freed: list[str] = []
    monkeypatch.setattr(Functions, "__call__", failing)
    with pytest.raises(BackendError, match=r"HTP of QCS8550 .* QNN_DEVICE_ERROR_HARDWARE_UNAVAIL"):
        HtpDevice(device.libraries, SOCS["qcs8550"])
    assert freed[-2:] == ["backendFree", "logFree"]


def test_a_dsp_that_does_not_answer_is_named_with_a_remedy(
    htp_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # libQnnHtp.so of 64-bit ARM, where there is no DSP.
    def failing(self: Functions, name: str, *arguments: object, **more: object) -> None:
        raise QnnError(name, 4000, self.name_code(4000))

    libraries = library.load_libraries()
    monkeypatch.setattr(Functions, "__call__", failing)
    with pytest.raises(
        BackendError,
        match=r"HTP of QCS8550 .* can't be opened .*logCreate: QNN_BACKEND_ERROR_CANNOT_INIT.*"
        "or use backend cpu",
    ):
        HtpDevice(libraries, SOCS["qcs8550"])


@pytest.mark.parametrize("closed", [True, False])
def test_handles_are_freed_in_order(
    htp_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    from windhover.inference.dlc import DlcBackend

    backend = DlcBackend(htp_bundle, profiling="basic")
    freed: list[str] = []
    call = Functions.__call__

    def noting(self: Functions, name: str, *arguments: object, **more: object) -> None:
        freed.append(name)
        call(self, name, *arguments, **more)

    monkeypatch.setattr(Functions, "__call__", noting)
    if closed:
        backend.close()
    del backend
    gc.collect()
    assert freed == ["profileFree", "contextFree", "deviceFree", "backendFree", "logFree"]


def test_arrays_that_do_not_fit(device: HtpDevice, htp_bundle: Bundle) -> None:
    context = Context.compose(device, htp_bundle.root / "int8.dlc")
    shapes = [t.shape for t in context.graph.outputs]
    with pytest.raises(BackendError, match=r"takes uint8 \(1, 4, 8, .\), not float32"):
        context.bind_outputs([np.empty(shape, np.float32) for shape in shapes])
    with pytest.raises(BackendError, match="needs a contiguous array"):
        context.bind_outputs([np.empty((*s[:3], 2 * s[3]), np.uint8)[..., ::2] for s in shapes])
    context.close()
    context.close()


@pytest.mark.parametrize("mode", VOTES)
def test_votes(device: HtpDevice, mode: str) -> None:
    clocks, latency, polling = power_configs(VOTES[mode], power_id=5)
    assert [config.option for config in (clocks, latency, polling)] == [1, 2, 3]
    assert clocks.value.dcvs.power_id == 5
    assert clocks.value.dcvs.core_target == VOTES[mode].corner
    assert latency.value.microseconds == 100
    vote = PowerVote(device, mode)
    vote.close()
    vote.close()


def test_whether_this_is_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fastrpc-cdsp").write_text("")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert not soc.on_device(tmp_path)
    assert soc.where_it_runs() == "HTP emulator on x86_64"
    assert soc.missing_requirement() is None
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert soc.on_device(tmp_path)
    assert not soc.on_device(tmp_path / "nothing")
    assert soc.where_it_runs() == "HTP"
    assert "/dev/fastrpc-cdsp" in str(soc.missing_requirement())
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert "use backend cpu" in str(soc.missing_requirement())


def test_fastrpc_gets_a_devices_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(__file__, tmp_path / "libQnnHtpV73Stub.so")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setenv("ADSP_LIBRARY_PATH", "")
    monkeypatch.delenv("ADSP_LIBRARY_PATH")
    with pytest.raises(BackendError, match="is missing"):
        library.open_htp(tmp_path)
    assert library.os.environ["ADSP_LIBRARY_PATH"] == str(tmp_path)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_what_a_devices_compiler_prints_stays_off_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "prints.c"
    source.write_text(
        "#include <stdio.h>\n"
        '__attribute__((constructor)) static void say(void) { puts("LIBNATIVE"); }\n'
    )
    built = tmp_path / "libQnnHtpPrepare.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", built, source], check=True)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setenv("ADSP_LIBRARY_PATH", "")
    with pytest.raises(BackendError, match=r"libQnnHtp\.so is missing"):
        library.open_htp(tmp_path)
    ctypes.CDLL(None).fflush(None)
    assert str(built) in Path("/proc/self/maps").read_text()
    assert capfd.readouterr().out == ""


class Lent:
    """FastRPC's allocator as this machine can have it: a file in memory, mapped."""

    def __init__(self) -> None:
        self.maps: dict[int, mmap.mmap] = {}
        self.freed: list[int] = []

    def allocate(self, size: int) -> tuple[int, int]:
        descriptor = os.memfd_create("lent")
        os.ftruncate(descriptor, size)
        mapped = mmap.mmap(descriptor, size)
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        self.maps[address] = mapped
        return address, descriptor

    def free(self, address: int) -> None:
        self.freed.append(address)


def test_shared_memory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"no shared memory with the HTP here \(.*libcdsprpc"):
        RpcMemory(str(tmp_path / "libcdsprpc.so"))
    with pytest.raises(BackendError, match=r"no shared memory with the HTP here \(.*rpcmem_alloc"):
        RpcMemory("libc.so.6")


def test_a_context_that_can_share_nothing_copies(
    device: HtpDevice, htp_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from windhover.inference.qnn_api import memory

    context = Context.compose(device, htp_bundle.root / "int8.dlc")
    lent = Lent()
    monkeypatch.setattr(memory, "RpcMemory", lambda: lent)
    # The emulator takes no file descriptors: what was allocated goes back.
    with pytest.raises(BackendError, match="memRegister: QNN_"):
        context.share()
    assert lent.freed == list(lent.maps)
    arrays = [np.zeros(t.shape, t.dtype) for t in context.graph.outputs]
    context.bind_outputs(arrays)
    context.execute(np.full(context.graph.inputs[0].shape, 90, np.uint8))
    assert any(array.any() for array in arrays)
    context.close()


def test_shared_tensors_are_handles_and_are_given_back_in_order(
    device: HtpDevice, htp_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from windhover.inference.qnn_api import memory

    context = Context.compose(device, htp_bundle.root / "int8.dlc")
    lent, asked = Lent(), []
    monkeypatch.setattr(memory, "RpcMemory", lambda: lent)
    call = Functions.__call__

    def driver(self: Functions, name: str, *arguments: object, **more: object) -> None:
        if name not in ("memRegister", "memDeRegister", "graphExecute"):
            return call(self, name, *arguments, **more)
        asked.append(name)
        if name == "memRegister":
            request = arguments[1]._obj  # type: ignore[attr-defined]
            shape = tuple(request.dimensions[: request.rank])
            asked.append((shape, request.memory_type, request.descriptor > 2))
            arguments[3]._obj.value = 0x1000 + len(asked)  # type: ignore[attr-defined]
        return None

    monkeypatch.setattr(Functions, "__call__", driver)
    buffers, outputs = context.share()
    tensors = (*context.graph.inputs, *context.graph.outputs)
    assert asked == [x for t in tensors for x in ("memRegister", (t.shape, 1, True))]
    assert [o.shape for o in outputs] == [t.shape for t in context.graph.outputs]
    image = np.full(context.graph.inputs[0].shape, 77, np.uint8)
    context.execute(image)
    np.testing.assert_array_equal(buffers.arrays[0], image)
    for struct, handle in zip(context._outputs.structs, buffers.handles[1:], strict=True):
        assert (struct.memory_type, struct.data) == (1, handle.value)
    asked.clear()
    buffers.close()
    buffers.close()
    assert asked == ["memDeRegister"] * len(tensors)
    assert len(lent.freed) == len(tensors)
    monkeypatch.undo()
    context.close()
