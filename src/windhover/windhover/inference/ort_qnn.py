"""ONNX Runtime sessions on QNN's execution provider, for running and for building."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from windhover.errors import BackendError
from windhover.inference.ort import LOG_FATAL, one_line, onnxruntime_module
from windhover.inference.qnn_api.context import FINALIZE_EFFORT
from windhover.inference.qnn_api.library import WHEEL, library_folder, open_htp
from windhover.inference.soc import Soc

PROVIDER = "QNNExecutionProvider"


def qnn_versions() -> str:
    """Versions that a compiled graph depends on, such as ``2.51.0-ort1.32.0-ep2.7.0``.

    Raises:
        BackendError: ONNX Runtime or its QNN provider is not installed.
    """
    wheel = _wheel()
    info = wheel.build_and_package_info
    return f"{info.qnn_version}-ort{onnxruntime_module().__version__}-ep{wheel.__version__}"


def open_session(
    model: Path,
    soc: Soc,
    provider: Mapping[str, str] | None = None,
    entries: Mapping[str, str] | None = None,
) -> Any:
    """Open a model on the HTP of a chip, with every op on it.

    Args:
        model: ONNX file, a graph or a compiled context.
        soc: chip to compile for.
        provider: further options of the provider.
        entries: further entries of the session's configuration.

    Raises:
        BackendError: it can't be opened, or an op does not run on the HTP; names it.
    """
    options = _session_options(soc, provider or {})
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    for key, value in (entries or {}).items():
        options.add_session_config_entry(key, value)
    ort = onnxruntime_module()
    try:
        return ort.InferenceSession(model, options)
    except Exception as error:  # ONNX Runtime's own errors share no public base
        reason = one_line(error)
        if "fallback to CPU EP" in str(error):
            reason = f"not on the HTP: {', '.join(_ops_elsewhere(model, soc)) or 'some ops'}"
        raise BackendError(
            f"{model} can't be opened for {soc} by ONNX Runtime {ort.__version__} with QNN "
            f"({reason}); export it again with the QNN recipe"
        ) from error


def _session_options(soc: Soc, provider: Mapping[str, str]) -> Any:
    ort = onnxruntime_module()
    folder = library_folder()
    # Before the provider does it, so that nothing is printed on stdout.
    open_htp(folder)
    options = ort.SessionOptions()
    options.log_severity_level = LOG_FATAL
    known = {
        "backend_path": str(folder / "libQnnHtp.so"),
        # Numbers as text: a name here is accepted and ignored.
        "soc_model": str(soc.model),
        "htp_arch": str(soc.arch),
        "vtcm_mb": str(soc.vtcm_mb),
        "htp_graph_finalization_optimization_mode": str(FINALIZE_EFFORT),
    }
    options.add_provider_for_devices(_devices(), {**known, **provider})
    return options


def _ops_elsewhere(model: Path, soc: Soc) -> list[str]:
    """``name (type)`` of every op that QNN leaves to the CPU."""
    options = _session_options(soc, {})
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime_module().InferenceSession(model, options)
    return [
        f"{node.name or 'an unnamed op'} ({node.op_type})"
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name != PROVIDER
        for node in part.get_nodes()
    ]


def _wheel() -> Any:
    try:
        import onnxruntime_qnn
    except ImportError as error:
        raise BackendError(
            f"onnxruntime-qnn can't be imported ({one_line(error)}); pip install '{WHEEL}'"
        ) from error
    return onnxruntime_qnn


@cache
def _devices() -> list[Any]:
    """What the provider runs on here; registers it, which a process may do once."""
    ort, wheel = onnxruntime_module(), _wheel()
    try:
        ort.register_execution_provider_library(PROVIDER, wheel.get_library_path())
    except Exception as error:  # as above
        raise BackendError(
            f"ONNX Runtime {ort.__version__} does not take QNN's provider "
            f"({one_line(error)}); pip install '{WHEEL}' with the ONNX Runtime it names"
        ) from error
    found = [device for device in ort.get_ep_devices() if device.ep_name == PROVIDER]
    if not found:
        raise BackendError("QNN's provider finds nothing to run on; run 'windhover doctor'")
    # On a device several hardware types are offered; the backend path decides.
    return found[:1]
