"""``windhover-train data``: convert, split and describe data sets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
import yaml

from ..data import hit_uav, split
from .paths import WORKSPACE

app = typer.Typer(no_args_is_help=True, help="Convert and split data sets.")

Root = Annotated[Path, typer.Argument(help="HIT-UAV's normal_json folder")]


@app.command("flights")
def data_flights(root: Root) -> None:
    """List HIT-UAV's flights with images and boxes per class."""
    summary = hit_uav.Summary()
    for name, records in split.flights_of(hit_uav.load(root, summary)).items():
        counts = Counter(b.class_id for r in records for b in r.boxes)
        row = " ".join(f"{label} {counts[i]}" for i, label in enumerate(hit_uav.LABELS))
        typer.echo(f"{name}: {len(records)} images, {row}, ignored {counts[-1]}")


@app.command("convert")
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


@app.command("render")
def data_render(
    out: Annotated[Path, typer.Option(help="data set to write")] = WORKSPACE / "scenes",
    train: Annotated[int, typer.Option(min=1, help="scenes to train on")] = 120,
    test: Annotated[int, typer.Option(min=1, help="scenes to score on")] = 20,
) -> None:
    """Render thermal scenes with truth: training and test scenes never share a seed."""
    from ..data.scenes import render_split

    for split_name, seeds in (("test", range(test)), ("train", range(10_000, 10_000 + train))):
        with typer.progressbar(length=len(seeds), label=split_name) as bar:
            count = render_split(out, split_name, seeds, lambda *_: bar.update(1))
        typer.echo(f"{split_name}: {count} images")
