"""The parts of ``metrics.json`` that every run has; windhover_evaluation adds scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from windhover.health.latency import LatencySummary
from windhover.inference import emulates

#: Value of ``format`` in metrics.json.
FORMAT = "windhover-metrics/1"


def latency_metrics(stages: Mapping[str, LatencySummary], backend: str) -> dict[str, Any]:
    """The ``latency_ms`` part, or the ``emulator_host_ms`` part of a backend that is emulated."""
    times = {
        name: {
            "p50": each.p50_ms,
            "p99": each.p99_ms,
            "mean": each.mean_ms,
            "max": each.max_ms,
            "worst": each.worst_ms,
            "count": each.count,
        }
        for name, each in stages.items()
    }
    return {"emulator_host_ms" if emulates(backend) else "latency_ms": times}
