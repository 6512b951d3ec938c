"""What ``windhover-train doctor`` finds: what works on this machine, and what to install.

Training needs PyTorch, torchvision's operator and Ultralytics, and room on the disk; a look
at one of these that fails is marked as needed. The rest is needed for single phases only.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from windhover.errors import BackendError
from windhover.finding import Finding, run_check

#: What training as such can't do without, by the names of findings.
NEEDED = ("python", "torch", "torchvision", "ultralytics", "disk")
LEAST_FREE_GIB = 5.0  # a run's checkpoints and a converted set of some thousand frames
_INSTALL = "run 'make train-env'"
_PINS = Path(__file__).parents[1] / "constraints.txt"


def examine(workspace: Path) -> list[Finding]:
    """Look at everything; a look that fails is a finding too.

    Args:
        workspace: where data sets and runs will lie; it need not exist.
    """
    looks: list[Callable[[], Finding]] = [_python, _torch, _torchvision]
    packages = [
        ("ultralytics", "", False),
        ("aimet-torch", "for train qat: ", True),
        ("aimet-onnx", "for quantisation with AIMET: ", True),
        ("onnx", "for export: ", True),
        ("onnxruntime", "for export and verify: ", True),
        ("onnxslim", "for export: ", True),
    ]
    return [
        *map(run_check, looks),
        *(_package(*package) for package in packages),
        run_check(_qnn),
        run_check(_gpu),
        run_check(_cpu),
        _disk(workspace),
        _tool("adb", "for profile --device adb: install Debian's adb"),
        _tool("ssh", "for profile --device ssh: install Debian's openssh-client"),
        _tool("git", "for the revision in a run's folder: install git"),
    ]


def can_train(findings: list[Finding]) -> bool:
    """Whether nothing that training itself needs is missing."""
    return not any(each.name in NEEDED and each.ok is False for each in findings)


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    detail = f"{platform.python_version()} ({sys.executable})"
    return Finding("python", good, detail, "" if good else "use Python 3.11 or newer")


def _torch() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("torch", False, str(error), _INSTALL)
    built = "CUDA " + torch.version.cuda if torch.version.cuda else "CPU only"
    detail = f"{torch.__version__}, {built}, {torch.get_num_threads()} threads"
    return _pinned("torch", Finding("torch", True, detail))


def _torchvision() -> Finding:
    try:
        import torch

        from . import compat

        importlib.import_module("torchvision")  # only after compat can it be imported
    except ImportError as error:
        return Finding("torchvision", False, str(error), _INSTALL)
    except Exception as error:
        advice = "install the torchvision that belongs to this torch, without dependencies"
        return Finding("torchvision", False, f"{type(error).__name__}: {error}", advice)
    kept = torch.ops.torchvision.nms(
        torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]]),
        torch.tensor([0.9, 0.8, 0.7]),
        0.5,
    )
    if kept.tolist() != [0, 2]:
        return Finding("torchvision", False, f"nms gives {kept.tolist()}, not [0, 2]", _INSTALL)
    how = "nms in Python (no compiled operators here)" if compat.REGISTERED else "nms compiled"
    return _pinned(
        "torchvision",
        Finding("torchvision", True, f"{importlib.metadata.version('torchvision')}, {how}"),
    )


def _package(name: str, use: str, optional: bool) -> Finding:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, None if optional else False, "not installed", f"{use}{_INSTALL}")
    return _pinned(name, Finding(name, True, version))


def _pinned(name: str, finding: Finding) -> Finding:
    """The same finding, or with advice where another version is pinned."""
    installed = importlib.metadata.version(name).partition("+")[0]
    wanted = pins().get(name.lower().replace("_", "-"))
    if wanted is None or installed == wanted:
        return finding
    advice = f"{wanted} is what this was tested with; {_INSTALL}"
    return Finding(finding.name, finding.ok, finding.detail, advice)


def pins() -> dict[str, str]:
    """Package -> version that the workspace pins; empty away from a checkout."""
    try:
        lines = _PINS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {name.strip().lower().replace("_", "-"): version.strip() for name, version in pairs}


def _qnn() -> Finding:
    from windhover.inference.qnn_api.library import WHEEL, load_libraries
    from windhover.inference.soc import where_it_runs

    try:
        libraries = load_libraries()
    except BackendError as error:
        return Finding("qnn", None, str(error), f"for export dlc and verify: pip install '{WHEEL}'")
    return Finding("qnn", True, f"QNN {libraries.version}, {where_it_runs()} ({libraries.folder})")


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        free, total = (part / 2**30 for part in torch.cuda.mem_get_info())
        return Finding("gpu", True, f"{', '.join(names)}: {free:.0f} of {total:.0f} GiB free")
    if any(Path("/dev").glob("nvidia[0-9]*")):
        advice = "install a torch built for CUDA, and a driver that is new enough for it"
        return Finding("gpu", False, "an NVIDIA device, but this torch can't use it", advice)
    return Finding("gpu", None, "none; training runs on the CPU, overnight rather than in an hour")


def _cpu() -> Finding:
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    good = memory >= 4
    advice = "" if good else "4 GiB or more: batches of 24 crops and the data set are in memory"
    return Finding("cpu", good, f"{cores} cores, {memory:.0f} GiB of memory", advice)


def _disk(workspace: Path) -> Finding:
    place = next(p for p in (workspace.absolute(), *workspace.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free / 2**30
    if not os.access(place, os.W_OK):
        return Finding("disk", False, f"{place} can't be written to", "choose another --workspace")
    good = free >= LEAST_FREE_GIB
    advice = "" if good else f"free {LEAST_FREE_GIB:g} GiB, or choose another --workspace"
    return Finding("disk", good, f"{free:.1f} GiB free for {workspace}", advice)


def _tool(name: str, advice: str) -> Finding:
    place = shutil.which(name)
    return Finding(name, True, place) if place else Finding(name, None, "not installed", advice)
