"""What a run with a process per node reports at its end, from the nodes' diagnostics."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windhover.files import write_json
from windhover.health.latency import LatencySummary
from windhover.health.metrics import FORMAT, latency_metrics
from windhover.machine import machine_facts
from windhover.sources import is_device
from windhover_bringup.runtime.plan import RunPlan
from windhover_bringup.runtime.run_messages import frames_line

Values = Mapping[str, str]

STAGES = {
    "source": "",
    "register": "pairing",
    "preprocess": "detector",
    "inference": "detector",
    "postprocess": "detector",
    "second_look": "detector",
    "tracking": "tracker",
    "publish": "tracker",
    "capture_to_result": "tracker",
}
"""Stage to the node that times it; the camera that leads where none is named."""


def frames_of(values: Values) -> int:
    """How many frames a node's diagnostics count."""
    return _number(values, "frames")


class RunReport:
    """Frame counts and latency of a run.

    Args:
        plan: of the run.
        out: folder for ``metrics.json``, if at all.
    """

    def __init__(self, plan: RunPlan, out: Path | None) -> None:
        self._plan = plan
        self._out = out
        self._values: dict[str, Values] = {}

    def take(self, values: Mapping[str, Values]) -> None:
        """Take the nodes' last diagnostics, by node."""
        self._values = dict(values)

    @property
    def dropped(self) -> int:
        """Frames that the leading camera gave and that were neither tracked nor refused."""
        given = frames_of(self._of(self._plan.cameras[0]))
        refused = _number(self._of("detector"), "frames_refused")
        return max(0, given - refused - frames_of(self._of("tracker")))

    def metrics(self) -> dict[str, Any]:
        """What metrics.json holds; the same keys as of a run in one process."""
        plan, detector = self._plan, self._of("detector")
        sources = [str(plan.config[camera].get("source", "")) for camera in plan.cameras]
        facts = {
            "source": ", ".join(dict.fromkeys(sources)),
            **{key: detector.get(key, "") for key in ("model", "model_hash", "backend", "device")},
            "frames": str(frames_of(self._of("tracker"))),
            "frames_dropped": str(self.dropped),
            "frames_refused": str(_number(detector, "frames_refused")),
            "frames_unreadable": str(
                sum(_number(self._of(camera), "frames_unreadable") for camera in plan.cameras)
            ),
            **machine_facts(),
        }
        return {
            "format": FORMAT,
            "run": facts,
            **latency_metrics(self._latencies(), facts["backend"]),
        }

    def write(self) -> None:
        """Print the closing line and write ``metrics.json``.

        Raises:
            DataError: it can't be written.
        """
        live = any(is_device(str(self._plan.config[c].get("source", ""))) for c in
                   self._plan.cameras)  # fmt: skip
        done = frames_of(self._of("tracker"))
        sys.stdout.write(f"{frames_line(done, self.dropped, live)}\n")
        if self._out is not None:
            file = self._out / self._plan.metrics_file
            write_json(file, self.metrics())
            sys.stdout.write(f"wrote {self._out}\n")

    def _of(self, node: str) -> Values:
        return self._values.get(node, {})

    def _latencies(self) -> dict[str, LatencySummary]:
        found = {}
        for stage, node in STAGES.items():
            values = self._of(node or self._plan.cameras[0])
            median, worst = values.get(f"{stage}_p50_ms"), values.get(f"{stage}_p99_ms")
            if median and worst:
                name = "capture_to_tracks" if stage == "capture_to_result" else stage
                found[name] = LatencySummary(frames_of(values), float(median), float(worst))
        return found


def _number(values: Values, key: str) -> int:
    text = values.get(key, "")
    return int(text) if text.isdecimal() else 0
