"""Inference on the HTP with QNN alone: loads a bundle's int8.dlc, no ONNX Runtime."""

from __future__ import annotations

import logging
import platform
import weakref
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from windhover.errors import BackendError, BundleError, ConfigError
from windhover.files import write_bytes_atomic
from windhover.inference.base import check_input
from windhover.inference.cache import cache_folder
from windhover.inference.qnn_api.context import FINALIZE_EFFORT, Context
from windhover.inference.qnn_api.device import HtpDevice
from windhover.inference.qnn_api.errors import QnnError, explain_errors
from windhover.inference.qnn_api.library import load_libraries
from windhover.inference.qnn_api.power import VOTES, PowerVote
from windhover.inference.qnn_api.profile import LEVELS, Measurement, Profile
from windhover.inference.qnn_api.tensors import TensorInfo
from windhover.inference.soc import (
    DEFAULT_SOC,
    find_soc,
    missing_requirement,
    on_device,
    warn_about_emulator,
    where_it_runs,
)
from windhover.model.bundle import Bundle
from windhover.model.graph import TensorSpec, check_graph
from windhover.model.manifest import Role

_log = logging.getLogger(__name__)


class DlcBackend:
    """Runs a bundle's int8.dlc on the HTP of a chip, or on its emulator.

    The .dlc is compiled for the chip when it is first opened; the result is kept
    (see :mod:`windhover.inference.cache`) and loaded from then on. A frame is read
    in place and the outputs are written in place.

    One thread at a time; a second that calls :meth:`run` meanwhile is refused.

    Args:
        bundle: whose int8.dlc to run.
        soc: chip to compile for, of :data:`windhover.inference.soc.SOCS`.
        performance: of :data:`windhover.inference.qnn_api.power.VOTES`; without
            effect on an emulator, which has no clocks.
        profiling: ``off``, ``basic`` or ``detailed``; see :meth:`measurements`.
        fresh: compile the .dlc even if it was before.

    Raises:
        BackendError: the QNN libraries are missing or of another version, or the
            .dlc can't be run; the message names it.
        BundleError: the graph is not the one the bundle declares.
        ConfigError: an option is out of range.
    """

    name = "dlc"

    def __init__(
        self,
        bundle: Bundle,
        soc: str = DEFAULT_SOC,
        performance: str = "burst",
        profiling: str = "off",
        *,
        fresh: bool = False,
    ) -> None:
        chip = find_soc(soc)
        _one_of("performance", performance, VOTES)
        _one_of("profiling", profiling, ("off", *LEVELS))
        path = _dlc_of(bundle)
        libraries = load_libraries()
        self._path = path
        self._shape = bundle.input.shape
        self._context: Context | None = None
        self._profile: Profile | None = None
        # Closed in reverse: the device last.
        with ExitStack() as opened:
            device = HtpDevice(libraries, chip)
            opened.callback(device.close)
            context, origin = _open_context(device, bundle, path, fresh)
            opened.callback(context.close)
            check_tensors(bundle, context.graph.inputs, context.graph.outputs, path)
            self._outputs = _bind(context, bundle, opened)
            self._vote(device, performance, opened)
            if profiling != "off":
                self._profile = Profile(device, profiling)
                opened.callback(self._profile.close)
            # Also when it is dropped unclosed, and before Python ends under QNN's threads.
            self._release = weakref.finalize(self, opened.pop_all().close)
        self._context = context
        self.device = f"{where_it_runs()}, for {chip}, QNN {libraries.version}, {origin}"
        warn_about_emulator("dlc", path.name)

    def run(self, image: NDArray[np.uint8]) -> Sequence[NDArray[np.generic]]:
        """See :meth:`windhover.inference.base.Backend.run`."""
        if self._context is None:
            raise BackendError(f"the dlc backend of {self._path} is closed; open it again")
        check_input(image, self._shape, self._path)
        profile = None if self._profile is None else self._profile.handle
        with explain_errors(f"a run of {self._path} failed", "open the backend again"):
            self._context.execute(np.ascontiguousarray(image), profile)
        return self._outputs

    def measurements(self) -> list[Measurement]:
        """What QNN measured of the last run; a device's latency only on a device.

        Raises:
            BackendError: the backend was opened without profiling, or is closed.
        """
        if self._profile is None or self._context is None:
            raise BackendError("nothing is measured: open backend dlc with profiling=basic")
        with explain_errors("the profile of a run can't be read", "run again"):
            return self._profile.measurements()

    def close(self) -> None:
        """Release the device; calling it twice is fine."""
        self._context = None
        # They may be in memory that is freed now.
        self._outputs = []
        self._release()

    def _vote(self, device: HtpDevice, performance: str, opened: ExitStack) -> None:
        if not on_device():
            return
        try:
            opened.callback(PowerVote(device, performance).close)
        except QnnError as error:
            # Slower clocks are no reason not to detect.
            _log.warning("the HTP takes no vote for %s (%s)", performance, error)


def probe() -> tuple[bool, str]:
    """Whether this backend can run here, and with what or what to install."""
    try:
        libraries = load_libraries()
    except BackendError as error:
        return False, str(error)
    problem = missing_requirement()
    if problem is not None:
        return False, problem
    slow = "" if on_device() else ": for checks, seconds a frame"
    return True, f"{where_it_runs()}{slow} (QNN {libraries.version})"


def check_tensors(
    bundle: Bundle, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo], path: Path
) -> None:
    """Hold a compiled graph's tensors against the bundle, quantisation included.

    Raises:
        BundleError: they differ; the message has the difference.
    """
    specs = [
        [TensorSpec(t.name, t.shape, t.dtype) for t in tensors] for tensors in (inputs, outputs)
    ]
    check_graph(bundle, specs[0], specs[1], path.name)
    found = {tensor.name: tensor for tensor in outputs}
    for declared in bundle.head.outputs:
        tensor = found[declared.name]
        if tensor.dtype != "uint8" or declared.scale is None:
            continue
        same = tensor.scale is not None and np.isclose(tensor.scale, declared.scale, rtol=1e-5)
        if not same or tensor.zero_point != declared.zero_point:
            raise BundleError(
                f"{path} does not match bundle.yaml: output {declared.name} has scale "
                f"{tensor.scale} and zero point {tensor.zero_point} where {declared.scale} and "
                f"{declared.zero_point} are declared; build it again from this int8.onnx"
            )


def _one_of(option: str, value: str, known: Iterable[str]) -> None:
    names = list(known)
    if value not in names:
        raise ConfigError(f"{option} {value!r} is unknown; use one of {', '.join(names)}")


def _dlc_of(bundle: Bundle) -> Path:
    path = bundle.file(Role.INT8_DLC)
    if path is None:
        has = ", ".join(role.value for role in bundle.files)
        raise BackendError(
            f"bundle {bundle.name} has no int8_dlc for the dlc backend, only {has}; "
            "build it with windhover.inference.build, or use backend cpu"
        )
    return path


def _open_context(
    device: HtpDevice, bundle: Bundle, path: Path, fresh: bool
) -> tuple[Context, str]:
    """The bundle's graph on a device, and where it came from, in words."""
    kept = _cache_path(device, bundle)
    if not fresh:
        for compiled in (_released_context(device, bundle), kept):
            if compiled is not None and compiled.is_file():
                context = _load(device, compiled)
                if context is not None:
                    return context, f"{path.name} as compiled in {compiled.name}"
    context = Context.compose(device, path)
    try:
        write_bytes_atomic(kept, context.binary())
    except (OSError, QnnError) as error:
        _log.warning("%s is compiled but can't be kept (%s); set WINDHOVER_CACHE", path, error)
    return context, f"{path.name} compiled here"


def _released_context(device: HtpDevice, bundle: Bundle) -> Path | None:
    """The compiled graph that the bundle brings, where it is for this chip."""
    return bundle.file(Role.QCS8550_BIN) if device.soc.name == "qcs8550" else None


def _load(device: HtpDevice, compiled: Path) -> Context | None:
    try:
        return Context.load(device, compiled.read_bytes(), str(compiled))
    except (OSError, BackendError) as error:
        _log.warning("%s is not used, the .dlc is compiled instead: %s", compiled, error)
        return None


def _cache_path(device: HtpDevice, bundle: Bundle) -> Path:
    """Named by all that the compiled graph depends on."""
    digest = bundle.files[Role.INT8_DLC].sha256[:16]
    chip, build = device.soc, device.libraries.build
    key = f"{digest}-{chip.name}-o{FINALIZE_EFFORT}-{build}-{platform.machine()}"
    return cache_folder() / f"{key}.bin"


def _bind(context: Context, bundle: Bundle, opened: ExitStack) -> list[NDArray[np.generic]]:
    """Arrays for all outputs of the graph; returns the bundle's, in its order."""
    found = _shared(context, opened)
    if found is None:
        found = [np.empty(t.shape, t.dtype) for t in context.graph.outputs]
        context.bind_outputs(found)
    arrays = {t.name: array for t, array in zip(context.graph.outputs, found, strict=True)}
    return [arrays[declared.name] for declared in bundle.head.outputs]


def _shared(context: Context, opened: ExitStack) -> list[NDArray[np.generic]] | None:
    """Arrays in memory that is shared with the HTP, where a device has some."""
    if not on_device():
        return None
    try:
        buffers, arrays = context.share()
    except BackendError as error:
        # A copy more a frame is no reason not to detect.
        _log.warning("tensors are copied to the HTP and back: %s", error)
        return None
    opened.callback(buffers.close)
    return arrays
