"""``windhover-train``: the training workspace's command line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
import yaml

from .config import ReleaseConfig, TrainConfig, load_config
from .data import hit_uav, split

WORKSPACE = Path("training/workspace")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
data_app = typer.Typer(no_args_is_help=True, help="Convert and split data sets.")
train_app = typer.Typer(no_args_is_help=True, help="Run a training phase, or go on with it.")
export_app = typer.Typer(no_args_is_help=True, help="Export graphs of a trained model.")
app.add_typer(export_app, name="export")
app.add_typer(data_app, name="data")
app.add_typer(train_app, name="train")

ReleaseFile = Annotated[Path, typer.Option("--config", help="release config, YAML")]
Out = Annotated[Path, typer.Option("--out", help="bundle folder")]
Root = Annotated[Path, typer.Argument(help="HIT-UAV's normal_json folder")]


@data_app.command("flights")
def data_flights(root: Root) -> None:
    """List HIT-UAV's flights with images and boxes per class."""
    summary = hit_uav.Summary()
    for name, records in split.flights_of(hit_uav.load(root, summary)).items():
        counts = Counter(b.class_id for r in records for b in r.boxes)
        row = " ".join(f"{label} {counts[i]}" for i, label in enumerate(hit_uav.LABELS))
        typer.echo(f"{name}: {len(records)} images, {row}, ignored {counts[-1]}")


@data_app.command("convert")
def data_convert(
    root: Root,
    out: Annotated[Path, typer.Option(help="data set to write")] = WORKSPACE / "hit_uav",
    held_out: Annotated[Path, typer.Option("--split", help="flights held out, YAML")] = Path(
        "training/configs/hit_uav_split.yaml"
    ),
) -> None:
    """Convert HIT-UAV as published, split by flight, and say what was kept and dropped."""
    summary = hit_uav.Summary()
    flights = split.flights_of(hit_uav.load(root, summary))
    splits = split.assign(flights, yaml.safe_load(held_out.read_text()))
    names = {r.stem: name for name, records in flights.items() for r in records}
    for part, members in splits.items():
        records = [r for name in members for r in flights[name]]
        # Test and val images stay as they are: their ignore regions are in the truth.
        hit_uav.write_split(records, out, part, names, fill=part == "train")
        typer.echo(f"{part}: {len(members)} flights, {len(records)} images")
    report = {
        "summary": dict(sorted(summary.counts.items())),
        "flights": splits,
        "labels": list(hit_uav.LABELS),
    }
    (out / "conversion.yaml").write_text(yaml.safe_dump(report, sort_keys=False))
    for what, n in sorted(summary.counts.items()):
        typer.echo(f"  {n:6d} {what}")


@data_app.command("render")
def data_render(
    out: Annotated[Path, typer.Option(help="data set to write")] = WORKSPACE / "scenes",
    train: Annotated[int, typer.Option(min=1, help="scenes to train on")] = 120,
    test: Annotated[int, typer.Option(min=1, help="scenes to score on")] = 20,
) -> None:
    """Render thermal scenes with truth: training and test scenes never share a seed."""
    from .data.scenes import render_split

    for split_name, seeds in (("test", range(test)), ("train", range(10_000, 10_000 + train))):
        with typer.progressbar(length=len(seeds), label=split_name) as bar:
            count = render_split(out, split_name, seeds, lambda *_: bar.update(1))
        typer.echo(f"{split_name}: {count} images")


@train_app.command("thermal-n")
def train_thermal_n(
    config: Annotated[Path, typer.Option(help="run config, YAML")],
    run: Annotated[Path | None, typer.Option(help="run folder")] = None,
) -> None:
    """Train the thermal detector; a run that was stopped goes on from its checkpoint."""
    from .phases.detector import run_detector

    settings = load_config(config, TrainConfig)
    final = run_detector(settings, run or WORKSPACE / "runs" / settings.name)
    typer.echo(f"wrote {final}" if final else "stopped; run the same command to go on")


@export_app.command("onnx")
def export_onnx(config: ReleaseFile, out: Out) -> None:
    """Write float.onnx, int8.onnx and a manifest with default thresholds and no metrics."""
    from .phases.release import export

    bundle = export(load_config(config, ReleaseConfig), out)
    typer.echo(f"wrote {bundle.root} ({bundle.digest})")


@app.command("verify")
def verify_bundle(config: ReleaseFile, out: Out) -> None:
    """Score float.onnx against int8.onnx on the sets that the config names."""
    from windhover.model import Bundle

    from .phases.release import verify

    typer.echo(yaml.safe_dump(verify(load_config(config, ReleaseConfig), Bundle.load(out))))


@app.command("release")
def release_bundle(config: ReleaseFile, out: Out) -> None:
    """Export, choose thresholds, score and write bundle.yaml and the model card."""
    from .phases.release import release

    release(load_config(config, ReleaseConfig), out)
    typer.echo((out / "README.md").read_text())


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
