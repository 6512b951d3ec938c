"""Parameters of the health monitor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from windhover_ros.lifecycle import StageParams
from windhover_ros.params import read_only


class MonitorParams(StageParams):
    """Parameters of the health monitor."""

    former_names: ClassVar[Mapping[str, str]] = {
        "most_steps": "max_recovery_steps",
        "worse_after_s": "raise_delay_s",
        "better_after_s": "clear_delay_s",
        "least_memory_mib": "min_free_memory_mib",
    }

    watch: list[str] = read_only(
        ["thermal_camera", "detector", "tracker"], description="nodes whose results are watched"
    )
    silence_s: float = Field(
        0.75, ge=0.2, le=60.0, description="longest silence of a stage before it is STALE, seconds"
    )
    camera_silence_s: float = Field(
        2.5,
        ge=0.2,
        le=60.0,
        description="the same for a camera: longer than a thermal camera's shutter takes",
    )
    min_rate_hz: float = Field(
        0.0,
        ge=0.0,
        le=1000.0,
        description="lowest rate of each stage's results, a second; 0 = not checked",
    )
    max_latency_ms: float = Field(
        0.0,
        ge=0.0,
        le=60000.0,
        description="longest time from capture to result (p99); 0 = not checked",
    )
    max_drop_share: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="share of a stage's frames that are dropped from which it is a WARN",
    )
    raise_delay_s: float = Field(
        0.5, ge=0.0, le=60.0, description="a level rises once it was worse for so long, seconds"
    )
    clear_delay_s: float = Field(
        2.0,
        ge=0.0,
        le=60.0,
        description="a level is lowered once it was better for so long, seconds",
    )
    warm_c: float = Field(85.0, ge=0.0, le=200.0, description="temperature that is a warning, °C")
    hot_c: float = Field(95.0, ge=0.0, le=200.0, description="temperature that is an error, °C")
    min_free_memory_mib: float = Field(
        200.0, ge=0.0, le=1e6, description="free memory below which it is a WARN, MiB"
    )
    recover: bool = Field(
        True, description="recover a stage that has stalled, by its lifecycle services"
    )
    max_recovery_steps: int = read_only(
        8,
        ge=1,
        le=1000,
        description="most recovery steps of a stage within ten minutes; then it is given up",
    )
    end_process: bool = read_only(
        False,
        description="end the process when a stage can't be recovered, so that systemd, Docker or "
        "launch restarts it",
    )
