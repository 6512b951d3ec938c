"""``windhover-train export``, ``verify`` and ``release``: from a checkpoint to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from ..config import ReleaseConfig, load_config

app = typer.Typer(no_args_is_help=True, help="Export graphs of a trained model.")

ReleaseFile = Annotated[Path, typer.Option("--config", help="release config, YAML")]
Out = Annotated[Path, typer.Option("--out", help="bundle folder")]


@app.command("onnx")
def export_onnx(config: ReleaseFile, out: Out) -> None:
    """Write float.onnx, int8.onnx and a manifest with default thresholds and no metrics."""
    from ..phases.release import export

    bundle = export(load_config(config, ReleaseConfig), out)
    typer.echo(f"wrote {bundle.root} ({bundle.digest})")


def verify_bundle(config: ReleaseFile, out: Out) -> None:
    """Score float.onnx against int8.onnx on the sets that the config names."""
    from windhover.model import Bundle

    from ..phases.release import verify

    typer.echo(yaml.safe_dump(verify(load_config(config, ReleaseConfig), Bundle.load(out))))


def release_bundle(config: ReleaseFile, out: Out) -> None:
    """Export, choose thresholds, score and write bundle.yaml and the model card."""
    from ..phases.release import release

    release(load_config(config, ReleaseConfig), out)
    typer.echo((out / "README.md").read_text())
