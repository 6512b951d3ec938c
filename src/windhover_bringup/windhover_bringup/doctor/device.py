"""Checks of what the HTP needs: the part of ``doctor`` for a Qualcomm board.

A graph reaches the HTP through FastRPC: libQnnHtp.so and the chip's stub run on the
CPU, open a node in /dev by way of the system's libcdsprpc.so, and have the DSP load
the chip's skel from a folder of ADSP_LIBRARY_PATH.
"""

from __future__ import annotations

import grp
import os
import platform
import stat
from collections.abc import Mapping
from pathlib import Path

from windhover.errors import BackendError
from windhover.finding import Finding
from windhover.inference.qnn_api.library import (
    WHEEL,
    library_folder,
    load_libraries,
    search_paths,
)
from windhover.inference.soc import FASTRPC_NODES, SOCS, Soc

RPC_LIBRARY = "libcdsprpc.so"
_LIBRARY_FOLDERS = ("usr/lib", "usr/lib64", "usr/lib/aarch64-linux-gnu", "lib", "vendor/lib64")


def device_findings(
    root: Path = Path("/"),
    environ: Mapping[str, str] | None = None,
    machine: str | None = None,
) -> list[Finding]:
    """Check everything that the HTP needs; one finding where this is no such device.

    Args:
        root: folder that holds sys, dev and usr.
        environ: variables of the process; ``os.environ`` if not given.
        machine: processor; this one's if not given.
    """
    variables = os.environ if environ is None else environ
    if (machine or platform.machine()) != "aarch64":
        return [Finding("hexagon dsp", None, "not a Qualcomm device: no 64-bit ARM")]
    soc, found = check_soc(root)
    if soc is None and found.ok is None and not _nodes(root / "dev"):
        return [Finding("hexagon dsp", None, "not a Qualcomm device: no soc_id, no FastRPC node")]
    return [
        found,
        check_nodes(root / "dev"),
        check_rpc_library(root, variables),
        check_skel(soc, variables),
    ]


def check_qnn() -> Finding:
    """The QNN libraries and their versions, on any machine."""
    try:
        libraries = load_libraries()
    except BackendError as error:
        return Finding("qnn", None, str(error), f"for dlc and qnn: pip install '{WHEEL}'")
    core = libraries.interface.core_version
    return Finding(
        "qnn",
        True,
        f"QNN {libraries.version}, core API {core.major}.{core.minor} ({libraries.folder})",
    )


def check_soc(root: Path) -> tuple[Soc | None, Finding]:
    """Which chip this is, by the kernel's number for it."""
    path = root / "sys/devices/soc0/soc_id"
    try:
        number = int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None, Finding(
            "soc", None, f"{path} does not name the chip",
            "on a Qualcomm device: use a kernel with qcom socinfo, or choose the chip by hand",
        )  # fmt: skip
    for soc in SOCS.values():
        if number in soc.ids:
            return soc, Finding("soc", True, f"{soc}, soc_id {number}")
    known = ", ".join(str(soc) for soc in SOCS.values())
    return None, Finding(
        "soc", False, f"soc_id {number} is none of {known}",
        "use backend cpu: graphs are compiled for the chips named",
    )  # fmt: skip


def check_nodes(devices: Path) -> Finding:
    """The nodes of FastRPC, and whether this user may open one."""
    nodes = _nodes(devices)
    if not nodes:
        return Finding(
            "fastrpc", False, f"none of {', '.join(FASTRPC_NODES)} in {devices}",
            "use a kernel with the fastrpc driver and the CDSP's firmware running "
            "(see 'dmesg | grep -i -e fastrpc -e remoteproc')",
        )  # fmt: skip
    usable = [node.name for node in nodes if os.access(node, os.R_OK | os.W_OK)]
    if usable:
        return Finding("fastrpc", True, ", ".join(usable))
    closed = ", ".join(f"{node.name} ({_rights(node)})" for node in nodes)
    return Finding("fastrpc", False, f"this user may not open {closed}", _way_in(nodes[0]))


def check_rpc_library(root: Path, environ: Mapping[str, str]) -> Finding:
    """The system's FastRPC library, which comes with the board's image."""
    own = [Path(part) for part in environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if part]
    for folder in (*own, *(root / name for name in _LIBRARY_FOLDERS)):
        if (folder / RPC_LIBRARY).exists():
            return Finding(RPC_LIBRARY, True, str(folder / RPC_LIBRARY))
    return Finding(
        RPC_LIBRARY, False, "not in the system's library folders",
        "install the board's FastRPC package (such as qcom-fastrpc1 or fastrpc); if it is "
        f"elsewhere or named {RPC_LIBRARY}.1, link it into /usr/lib",
    )  # fmt: skip


def check_skel(soc: Soc | None, environ: Mapping[str, str]) -> Finding:
    """Whether the DSP will find the chip's skel library, and the CPU its stub."""
    try:
        folder = library_folder()
    except BackendError as error:
        return Finding("qnn skel", False, str(error), f"pip install '{WHEEL}'")
    arch = (soc or SOCS["qcs8550"]).arch
    skel, stub = f"libQnnHtpV{arch}Skel.so", f"libQnnHtpV{arch}Stub.so"
    missing = [name for name in (skel, stub) if not (folder / name).is_file()]
    if missing:
        return Finding(
            "qnn skel", False, f"{folder} has no {', '.join(missing)}",
            f"install '{WHEEL}' for aarch64, or set WINDHOVER_QNN to a folder that has them",
        )  # fmt: skip
    # As every launcher sets it.
    searched = search_paths(environ, folder)["ADSP_LIBRARY_PATH"].split(";")
    found = next(Path(part, skel) for part in searched if Path(part, skel).is_file())
    if found.parent != folder:
        return Finding(
            "qnn skel", False, f"the DSP finds {found} before that of {folder}",
            "unset ADSP_LIBRARY_PATH: skel and stub must be of one version",
        )  # fmt: skip
    return Finding("qnn skel", True, str(found))


def _nodes(devices: Path) -> list[Path]:
    return [devices / name for name in FASTRPC_NODES if (devices / name).exists()]


def _rights(node: Path) -> str:
    status = node.stat()
    return f"{stat.filemode(status.st_mode)}, group {_group(status.st_gid)}"


def _way_in(node: Path) -> str:
    status = node.stat()
    both = stat.S_IRGRP | stat.S_IWGRP
    if status.st_mode & both == both and status.st_gid != 0:
        name = _group(status.st_gid)
        return f"run 'sudo usermod -aG {name} $USER' and log in again"
    return (
        'add a udev rule such as KERNEL=="fastrpc-*", GROUP="fastrpc", MODE="0660" and join '
        "that group"
    )


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
