"""Builds what the HTP runs from a bundle's int8.onnx: ``int8.dlc`` and ``qcs8550.bin``.

Needs no training framework. Both are checked before they count as built: the
tensors are the ONNX graph's, every op is on the HTP, and the chip is the one
that was requested.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from windhover.errors import BackendError
from windhover.inference.ort import tensor_specs
from windhover.inference.ort_qnn import open_session
from windhover.inference.qnn_api.binary import read_binary
from windhover.inference.qnn_api.context import Context
from windhover.inference.qnn_api.device import HtpDevice
from windhover.inference.qnn_api.library import load_libraries
from windhover.inference.qnn_api.tensors import GraphSpec, TensorInfo
from windhover.inference.soc import DEFAULT_SOC, Soc, find_soc, soc_name
from windhover.model.bundle import MANIFEST_NAME, Bundle, write_bundle
from windhover.model.graph import TensorSpec
from windhover.model.manifest import STANDARD_FILES, Role
from windhover.plain_yaml import read_yaml


def build_htp_files(folder: Path, soc: str = DEFAULT_SOC) -> list[Path]:
    """Build the ``.dlc`` and the compiled graph beside a folder's int8.onnx.

    What a release calls before it writes the manifest
    (:func:`windhover.model.bundle.write_bundle` then lists and hashes them).

    Args:
        folder: holds ``int8.onnx``.
        soc: chip to compile for, of :data:`windhover.inference.soc.SOCS`.

    Returns:
        ``int8.dlc`` and ``<soc>.bin``, in this order.

    Raises:
        BackendError: QNN is not installed, an op does not run on the HTP (it is
            named), or the result is not what was requested.
        ConfigError: the chip is unknown.
    """
    model = folder / STANDARD_FILES[Role.INT8_ONNX]
    dlc = folder / STANDARD_FILES[Role.INT8_DLC]
    return [build_dlc(model, dlc, soc), build_context(model, folder / f"{soc}.bin", soc)]


def add_to_bundle(folder: Path, soc: str = DEFAULT_SOC) -> Bundle:
    """Build what :func:`build_htp_files` does for a bundle and list it in its manifest.

    The rest of the manifest stays as it is, but for the QNN version among the
    tools of its provenance.

    Args:
        folder: a bundle with int8.onnx.
        soc: chip to compile for.

    Returns:
        The bundle with its new files.

    Raises:
        BackendError: see :func:`build_htp_files`.
        BundleError: the folder is not a complete bundle.
        ConfigError: the chip is unknown.
    """
    Bundle.load(folder)
    build_htp_files(folder, soc)
    manifest = read_yaml(folder / MANIFEST_NAME)
    del manifest["format"], manifest["files"]
    manifest["provenance"].setdefault("tools", {})["qnn"] = load_libraries().build
    return write_bundle(folder, manifest)


def build_dlc(model: Path, target: Path, soc: str = DEFAULT_SOC) -> Path:
    """Write an int8 ONNX graph as a .dlc.

    Args:
        model: QDQ graph with uint8 NHWC input.
        target: file to write.
        soc: chip whose compiler checks the ops; the .dlc itself is for any.

    Returns:
        ``target``.

    Raises:
        BackendError: see :func:`build_htp_files`.
        ConfigError: the chip is unknown.
    """
    chip = find_soc(soc)
    libraries = load_libraries()
    with tempfile.TemporaryDirectory(dir=_folder(target), prefix=".dlc-") as name:
        session = open_session(
            model,
            chip,
            {
                "dump_qnn_ir_dlc": "1",
                "dump_qnn_ir_dlc_dir": name,
                "qnn_ir_backend_path": str(libraries.folder / "libQnnIr.so"),
            },
        )
        made = _single_file(Path(name), "*.dlc", model)
        device = HtpDevice(libraries, chip)
        try:
            graph = Context.describe(device, made)
        finally:
            device.close()
        _check_same(session, graph, made.name, model)
        return _move_into_place(made, target)


def build_context(model: Path, target: Path, soc: str = DEFAULT_SOC) -> Path:
    """Compile an int8 ONNX graph for a chip.

    Args:
        model: QDQ graph with uint8 NHWC input.
        target: file to write.
        soc: chip to compile for.

    Returns:
        ``target``.

    Raises:
        BackendError: see :func:`build_htp_files`.
        ConfigError: the chip is unknown.
    """
    chip = find_soc(soc)
    with tempfile.TemporaryDirectory(dir=_folder(target), prefix=".context-") as name:
        session = compile_context(model, Path(name) / "graph.onnx", chip)
        made = _single_file(Path(name), "*.bin", model)
        spec = read_binary(load_libraries(), made.read_bytes(), str(target))
        if spec.soc_model != chip.model:
            raise BackendError(
                f"{model} was compiled for {soc_name(spec.soc_model)} where {chip} was requested "
                f"for; use one of the SoCs that QNN {load_libraries().version} knows"
            )
        _check_same(session, spec.graph, made.name, model)
        return _move_into_place(made, target)


def compile_context(model: Path, wrapper: Path, soc: Soc) -> Any:
    """Compile a graph with ONNX Runtime: an ONNX file that names a context beside it.

    Args:
        model: QDQ graph.
        wrapper: ONNX file to write; it must not exist.
        soc: chip to compile for.

    Returns:
        The open session.

    Raises:
        BackendError: see :func:`build_htp_files`.
    """
    return open_session(
        model,
        soc,
        entries={
            "ep.context_enable": "1",
            "ep.context_embed_mode": "0",
            "ep.context_file_path": str(wrapper),
        },
    )


def _folder(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.parent


def _single_file(folder: Path, pattern: str, model: Path) -> Path:
    made = sorted(folder.glob(pattern))
    if len(made) != 1:
        raise BackendError(
            f"{model} became {len(made)} graphs on the HTP where one is run; "
            "export it as a single graph with every op quantised"
        )
    return made[0]


def _check_same(session: Any, graph: GraphSpec, made: str, model: Path) -> None:
    """Hold the names, shapes and types of what was built against the ONNX graph's."""
    wanted = (session.get_inputs(), session.get_outputs())
    for known, found in zip(wanted, (graph.inputs, graph.outputs), strict=True):
        expected = _tensor_lines(tensor_specs(known))
        actual = _tensor_lines(found)
        if expected != actual:
            raise BackendError(
                f"{made} has the tensors {', '.join(actual)} where {model} has "
                f"{', '.join(expected)}; export it with uint8 NHWC input and quantised outputs"
            )


def _tensor_lines(tensors: Sequence[TensorSpec | TensorInfo]) -> list[str]:
    return sorted(str(TensorSpec(t.name, t.shape, t.dtype)) for t in tensors)


def _move_into_place(made: Path, target: Path) -> Path:
    # QNN makes it unreadable for others.
    made.chmod(0o666 & ~_umask())
    made.replace(target)
    return target


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
