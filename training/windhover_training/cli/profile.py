"""``windhover-train profile``: measure a bundle on a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..outputs import refuse_to_overwrite


def profile_bundle(
    model: Annotated[str, typer.Option(help="bundle folder, or its name in models/")],
    device: Annotated[str, typer.Option(help="adb:SERIAL or ssh:USER@HOST")],
    out: Annotated[Path, typer.Option(help="profile.json to write")] = Path("profile.json"),
    frames: Annotated[int, typer.Option(min=10, max=100_000, help="frames to time")] = 200,
    remote: Annotated[str, typer.Option(help="folder on the device, removed afterwards")] = "",
    program: Annotated[
        str, typer.Option(help="how Windhover is started there [default: from its path]")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="replace --out")] = False,
) -> None:
    """Measure a bundle on a QCS8550 over adb or ssh: average, p50, p99, throughput, memory."""
    from windhover.files import write_json
    from windhover.model import Bundle

    from ..device.profile import REMOTE, ProfilePlan, profile, table
    from ..device.transport import open_device

    refuse_to_overwrite(out, force=force)
    bundle = Bundle.load(model)
    plan = ProfilePlan(bundle, frames, remote or REMOTE, program)
    result = profile(open_device(device), plan, say=lambda text: typer.echo(text, err=True))
    write_json(out, result)
    about = result["device"]
    typer.echo(f"{bundle.name} {bundle.version} on {about['name']}, SoC {about['soc']}")
    for cells in table(result):
        typer.echo("".join(f"{cell:>14}" for cell in cells))
    typer.echo(f"wrote {out}; give it to release with --profile")
