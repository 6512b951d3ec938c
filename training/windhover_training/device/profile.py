"""Measures a bundle on a device: pushes it, runs it there, pulls and reads the figures.

Two ways, the better one first: Windhover itself where it is installed on the device
(``windhover benchmark``: average, p50, p99, throughput, memory, HTP time), else the QNN SDK's
qnn-net-run and qnn-profile-viewer (averages only). No figure is made up: what neither of
them tells is left out.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windhover.errors import DataError
from windhover.inference.soc import SOCS
from windhover.model import Bundle, Role
from windhover.model.bundle import MANIFEST_NAME
from windhover_evaluation.speed.backends import FORMAT as BENCH_FORMAT

from .net_run import read_viewer
from .transport import DeviceError, Transport

FORMAT = "windhover-profile/1"
REMOTE = "/data/local/tmp/windhover-profile"

#: Runs on the device. Its arguments: folder, frames, program or nothing.
RUNNER = """#!/bin/sh
set -e
cd "$1"
if [ -n "$3" ]; then
  exec $3 benchmark --model "$1" --backend all --frames "$2" --json "$1/bench.json" > bench.txt 2>&1
fi
export LD_LIBRARY_PATH="$1:$LD_LIBRARY_PATH"
export ADSP_LIBRARY_PATH="$1;$ADSP_LIBRARY_PATH"
PATH="$1:$PATH"
qnn-net-run --retrieve_context qcs8550.bin --backend libQnnHtp.so --input_list inputs.txt \\
  --use_native_input_files --use_native_output_files --perf_profile burst \\
  --profiling_level basic --num_inferences "$2" --output_dir results > net_run.txt 2>&1
qnn-profile-viewer --input_log results/qnn-profiling-data*.log > viewer.txt 2>&1
"""

Say = Callable[[str], None]


@dataclass(frozen=True)
class ProfilePlan:
    """What is to be done on a device.

    Attributes:
        bundle: to measure.
        frames: that are timed.
        remote: folder there; made, and removed afterwards.
        program: how Windhover is started there; found if empty.
    """

    bundle: Bundle
    frames: int = 200
    remote: str = REMOTE
    program: str = ""


def profile(device: Transport, plan: ProfilePlan, say: Say = lambda _: None) -> dict[str, Any]:
    """Measure and describe; see the module's text.

    Returns:
        Plain values for ``profile.json``: the device, the bundle, and per backend what
        ``windhover benchmark`` writes.

    Raises:
        DataError: what came back can't be read.
        DeviceError: the device can't be reached, has neither Windhover nor the QNN tools, or
            a run failed.
    """
    about = describe(device)
    program = plan.program or _find(device, "windhover")
    if not program and not _find(device, "qnn-net-run"):
        raise DeviceError(
            f"{device.name} has neither windhover nor qnn-net-run on its path; install one of "
            "them there, or name it with --program"
        )
    folder = shlex.quote(plan.remote)
    device.run(f"mkdir -p {folder}")
    try:
        say(f"copying {plan.bundle.name} to {device.name}")
        _push(device, plan)
        say(f"running {plan.frames} frames by {program or 'qnn-net-run'}")
        arguments = " ".join(map(shlex.quote, (plan.remote, str(plan.frames), program)))
        device.run(f"sh {folder}/run.sh {arguments}")
        backends = _pull_bench(device, plan) if program else _pull_viewer(device, plan)
    finally:
        device.run(f"rm -rf {folder}")
    return {
        "format": FORMAT,
        "device": about,
        "bundle": {
            "name": plan.bundle.name,
            "version": plan.bundle.version,
            "digest": plan.bundle.digest,
        },
        "frames": plan.frames,
        "tool": program or "qnn-net-run",
        "backends": backends,
    }


def describe(device: Transport) -> dict[str, Any]:
    """Name, SoC, system of a device; the SoC is ``None`` where it is none that we know."""
    said = device.run(
        "uname -m; uname -sr; cat /sys/devices/soc0/soc_id 2>/dev/null || echo; "
        "cat /sys/devices/soc0/machine 2>/dev/null || hostname"
    ).splitlines()
    machine, system, number, name = (*said, "", "", "", "")[:4]
    known = [soc.name.upper() for soc in SOCS.values() if number.strip() in map(str, soc.ids)]
    return {
        "address": device.name,
        "name": name.strip() or device.name,
        "soc": known[0] if known else None,
        "soc_id": number.strip() or None,
        "machine": machine.strip(),
        "system": system.strip(),
    }


def table(result: Mapping[str, Any]) -> list[list[str]]:
    """What was measured as cells, the heading first."""
    rows = [["backend", "average ms", "p50 ms", "p99 ms", "frames/s", "HTP ms", "peak MiB"]]
    for each in result["backends"]:
        timed = each.get("latency", {})
        cells = [timed.get(key) for key in ("average_ms", "p50_ms", "p99_ms", "throughput_hz")]
        cells += [each.get("htp_ms"), each.get("peak_mib")]
        rows.append([each["backend"], *("" if c is None else f"{c:.2f}" for c in cells)])
    return rows


def _find(device: Transport, program: str) -> str:
    return device.run(f"command -v {program} || true").strip()


def _push(device: Transport, plan: ProfilePlan) -> None:
    bundle = plan.bundle
    files = [bundle.root / MANIFEST_NAME, *(bundle.root / f.path for f in bundle.files.values())]
    for path in files:
        device.push(path, f"{plan.remote}/{path.name}")
    with tempfile.TemporaryDirectory() as name:
        local = Path(name)
        # The same image as windhover benchmark, and its list as qnn-net-run reads it.
        image = np.random.default_rng(0).integers(0, 256, bundle.input.shape, np.uint8)
        (local / "image.raw").write_bytes(image.tobytes())
        (local / "inputs.txt").write_text(f"{bundle.input.name}:={plan.remote}/image.raw\n")
        (local / "run.sh").write_text(RUNNER)
        for path in sorted(local.iterdir()):
            device.push(path, f"{plan.remote}/{path.name}")


def _pull_bench(device: Transport, plan: ProfilePlan) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "bench.json"
        device.pull(f"{plan.remote}/bench.json", path)
        return read_bench(path.read_text(encoding="utf-8"), plan.bundle)


def read_bench(text: str, bundle: Bundle) -> list[dict[str, Any]]:
    """Rows of what ``windhover benchmark --json`` wrote on a device.

    Raises:
        DataError: it is not that, is of another bundle, or nothing was measured.
    """
    try:
        found = json.loads(text)
        rows, digest, form = found["backends"], found["run"]["digest"], found["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"what windhover benchmark wrote can't be read ({error!r})") from error
    if form != BENCH_FORMAT or digest != bundle.digest:
        raise DataError(
            f"the device measured {digest} in form {form}, not {bundle.digest} in {BENCH_FORMAT}; "
            "install there the Windhover of this checkout"
        )
    # An emulator's seconds are no latency and have none in the row.
    if not any("latency" in row for row in rows):
        reasons = "; ".join(str(row.get("failure", row.get("note"))) for row in rows)
        raise DataError(f"nothing was measured on the device: {reasons}")
    return list(rows)


def _pull_viewer(device: Transport, plan: ProfilePlan) -> list[dict[str, Any]]:
    if plan.bundle.file(Role.QCS8550_BIN) is None:
        raise DataError(f"{plan.bundle.root} has no qcs8550.bin for qnn-net-run; export dlc first")
    timed = read_viewer(device.run(f"cat {shlex.quote(plan.remote)}/viewer.txt"))
    row: dict[str, Any] = {"backend": "qnn-net-run", "frames": plan.frames}
    if "htp_ms" in timed:
        row["htp_ms"] = timed.pop("htp_ms")
    return [{**row, "latency": timed}]
