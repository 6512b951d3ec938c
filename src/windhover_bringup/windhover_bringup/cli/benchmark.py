"""``windhover benchmark``: a model's speed on each backend of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windhover.errors import ConfigError
from windhover.progress import progress
from windhover_bringup.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from windhover_evaluation.speed.backends import Speed
    from windhover_evaluation.speed.estimate import Estimate


def benchmark(
    model: options.Model,
    backend: Annotated[
        str | None, typer.Option(help="all, or some such as cpu,dlc.", show_default="all")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(help="How many to time.", show_default="100")
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Estimate its time on a QCS8550; runs nothing.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="File to write as well.")] = None,
) -> None:
    """Measure a model's speed on each backend of this machine."""
    if not estimate:
        _measure(model, backend or "all", 100 if frames is None else frames, json)
    elif backend is not None or frames is not None:
        raise ConfigError("--estimate runs nothing; leave --backend and --frames out")
    else:
        _estimate(model, json)


def _measure(model: str, backend: str, frames: int, json: Path | None) -> None:
    from windhover.errors import BackendError
    from windhover.files import write_json
    from windhover.machine import machine_facts
    from windhover.model.bundle import Bundle
    from windhover_evaluation.speed.backends import FORMAT, backend_names, measure_backends

    bundle = Bundle.load(model)
    names = backend_names(backend)
    # Before the measurement itself makes a load.
    about = {**machine_facts(), "load": f"{os.getloadavg()[0]:.1f}"}
    speeds: list[Speed] = []
    with progress("measuring", len(names)) as bar:
        for name in names:
            bar.note(name)
            speeds += measure_backends(bundle.root, [name], frames)
            bar.update(len(speeds))
    facts = {
        "model": f"{bundle.name} {bundle.version}",
        "digest": bundle.digest,
        "input": f"{bundle.input.width}x{bundle.input.height}, {bundle.modality}",
        **about,
    }
    if json is not None:
        rows = [speed.as_dict() for speed in speeds]
        write_json(json, {"format": FORMAT, "run": facts, "backends": rows})
    _show(speeds, facts)
    # A backend that was named has to run; of all, one is enough.
    failed = [speed for speed in speeds if speed.failure]
    if failed and (backend != "all" or len(failed) == len(speeds)):
        raise BackendError(f"backend {failed[0].backend} was not measured: {failed[0].failure}")


def _show(speeds: Sequence[Speed], facts: dict[str, str]) -> None:
    from rich.table import Table

    console = _console()
    table = Table(
        title=f"{facts['model']}, {facts['input']}: inference alone", title_justify="left"
    )
    table.add_column("backend", no_wrap=True)
    table.add_column("runs on", overflow="fold")
    for column in ("frames", "average ms", "p50 ms", "p99 ms", "frames/s", "HTP ms", "peak MiB"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("host seconds", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for speed in speeds:
        table.add_row(*_cells(speed), style="" if speed.latency else "dim")
    console.print(table)
    for speed in speeds:
        if speed.failure:
            console.print(f"  {speed.backend}: {speed.failure}", highlight=False)
    console.print(
        f"  on {facts['processor']}, {facts['system']}, load {facts['load']} at the start",
        highlight=False,
    )
    if any(speed.host_seconds is not None for speed in speeds):
        console.print(
            "  An emulator's host seconds say nothing of how fast a device is.", highlight=False
        )


def _cells(speed: Speed) -> list[str]:
    timed = speed.latency
    numbers = (
        [""] * 4
        if timed is None
        else [
            f"{timed.average_ms:.2f}",
            f"{timed.p50_ms:.2f}",
            f"{timed.p99_ms:.2f}",
            f"{timed.throughput_hz:.1f}",
        ]
    )
    return [
        speed.backend,
        speed.runs_on,
        str(speed.frames or ""),
        *numbers,
        "" if speed.htp_ms is None else f"{speed.htp_ms:.2f}",
        "" if speed.peak_mib is None else f"{speed.peak_mib:.0f}",
        "" if speed.host_seconds is None else f"{speed.host_seconds:.2f}",
        _note(speed),
    ]


def _note(speed: Speed) -> str:
    from windhover_evaluation.speed.backends import EMULATOR_NOTE

    if speed.failure:
        return "not measured, see below"
    return EMULATOR_NOTE if speed.host_seconds is not None else ""


def _estimate(model: str, json: Path | None) -> None:
    from windhover.files import write_json
    from windhover.model.bundle import Bundle
    from windhover_evaluation.speed.estimate import estimate_bundle

    bundle = Bundle.load(model)
    found = estimate_bundle(bundle)
    if json is not None:
        write_json(json, found.as_dict())
    _show_estimate(f"{bundle.name} {bundle.version}", found)


def _show_estimate(name: str, found: Estimate) -> None:
    from rich.table import Table

    console = _console()
    table = Table(title=f"{name} on a {found.soc}: ESTIMATE, not measured", title_justify="left")
    table.add_column("what", overflow="fold")
    table.add_column("estimate", justify="right", no_wrap=True)
    table.add_column("from", overflow="fold")
    for line in found.lines():
        table.add_row(*line)
    console.print(table)
    console.print(
        f"  ops: {', '.join(f'{n} {op}' for op, n in found.ops.items())}", highlight=False
    )


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 150)
