"""``windhover-train data``: convert, filter, split and describe data sets."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from windhover.errors import ConfigError, DataError

from ..data.metadata import read_table
from ..data.records import MODALITIES
from ..data.sets import SETS, DataSet
from ..data.summary import Summary
from .paths import WORKSPACE
from .progress import progress_bar

app = typer.Typer(no_args_is_help=True, help="Convert, filter, split and describe data sets.")

Name = Annotated[str, typer.Argument(metavar="SET", help=", ".join(SETS))]
Root = Annotated[Path, typer.Argument(help="the set as published")]
HeldOut = Annotated[
    Path | None, typer.Option("--split", help="YAML: split -> flights; all others train")
]
Shares = Annotated[
    str | None, typer.Option(help="shares of a balanced split, as train=0.8,val=0.1,test=0.1")
]
Force = Annotated[bool, typer.Option("--force", help="replace an earlier output")]
Copy = Annotated[bool, typer.Option("--copy", help="copy images instead of hard linking them")]
Workers = Annotated[int, typer.Option(min=1, help="threads")]
WORKERS = min(os.cpu_count() or 1, 8)


@app.command("flights")
def data_flights(name: Name, root: Root) -> None:
    """List a published set's flights, with frames and boxes, to write a split file from."""
    data_set, summary = _data_set(name), Summary()
    flights: dict[str, list[Any]] = {}
    for frame in data_set.read(root, summary):
        flights.setdefault(frame.flight, []).append(frame)
    table = Table("flight", "frames", "time", "altitude, m", "boxes")
    for flight, frames in flights.items():
        boxes = Counter(str(box.category) for frame in frames for box in frame.boxes)
        times = sorted({str(frame.time_of_day or "?") for frame in frames})
        heights = [frame.altitude for frame in frames if frame.altitude is not None]
        span = f"{min(heights):.0f}-{max(heights):.0f}" if heights else "?"
        counts = ", ".join(f"{c} {n}" for c, n in boxes.most_common())
        table.add_row(flight, str(len(frames)), "/".join(times), span, counts)
    Console().print(table)
    if summary.counts:
        summary.show(f"{name}: not read")


@app.command("convert")
def data_convert(
    name: Name,
    root: Root,
    out: Annotated[Path | None, typer.Option(help="data set to write")] = None,
    labels: Annotated[Path | None, typer.Option(help="label map, YAML")] = None,
    held_out: HeldOut = None,
    shares: Shares = None,
    table: Annotated[Path | None, typer.Option(help="CSV: sequence,altitude")] = None,
    images: Annotated[Path | None, typer.Option(help="coco: where its images are")] = None,
    modality: Annotated[str, typer.Option(help="coco: rgb or thermal")] = "rgb",
    copy: Copy = False,
    workers: Workers = WORKERS,
    force: Force = False,
) -> None:
    """Convert a set as published, split it by flight, and say what was kept and dropped."""
    from functools import partial

    from ..data import coco
    from ..data.check import check_frames
    from ..data.split import choose
    from ..data.writer import WriteOptions, write_set
    from ..outputs import new_folder

    data_set, summary = _data_set(name), Summary()
    if modality not in MODALITIES:
        raise ConfigError(f"--modality {modality!r}: use one of {', '.join(MODALITIES)}")
    read = data_set.read
    if read is coco.read:
        read = partial(coco.read, images=images, modality=modality)
    known = read_table(table) if table is not None else None
    with new_folder(out or WORKSPACE / name.replace("-", "_"), force=force) as part:
        raws = list(read(root, summary))
        mapped = data_set.label_map(labels, raws)
        with progress_bar("checking") as progress:
            frames = check_frames(
                raws, mapped, name, summary, table=known, workers=workers, progress=progress
            )
        if not frames:
            raise DataError(f"{root}: nothing usable is left ({summary.worst()})")
        splits, how = choose(
            frames, len(mapped.labels), summary, held_out=held_out, shares=_shares(shares)
        )
        options = WriteOptions(copy=copy, workers=workers)
        with progress_bar("writing") as progress:
            write_set(
                part, splits, mapped.labels, summary, options, progress,
                source=name, credit=data_set.credit, split=how,
            )  # fmt: skip
    summary.show(f"{name}, split {how}")
    _show_splits(splits)
    typer.echo(f"wrote {out or WORKSPACE / name.replace('-', '_')}")


@app.command("filter-altitude")
def data_filter_altitude(
    root: Annotated[Path, typer.Option("--input", help="converted set, VT-MOT, or metadata.json")],
    out: Annotated[Path, typer.Option("--output", help="folder to write")],
    low: Annotated[float, typer.Option("--min-altitude", min=0, help="m, kept itself")] = 30.0,
    high: Annotated[float, typer.Option("--max-altitude", min=0, help="m, kept itself")] = 50.0,
    table: Annotated[Path | None, typer.Option(help="CSV: sequence,altitude")] = None,
    estimate: Annotated[bool, typer.Option(help="else estimate from box sizes")] = False,
    hfov: Annotated[float | None, typer.Option(min=1, max=170, help="degrees")] = None,
    pitch: Annotated[float | None, typer.Option(min=5, max=90, help="90: straight down")] = None,
    copy: Copy = False,
    workers: Workers = WORKERS,
    force: Force = False,
) -> None:
    """Keep frames of an altitude range; one that was stopped goes on where it was."""
    from ..data.altitude import AltitudeFilter, filter_set
    from ..data.geometry import Lens

    if low > high:
        raise ConfigError(f"--min-altitude {low:g} is above --max-altitude {high:g}")
    if estimate and (hfov is None or pitch is None):
        raise ConfigError("--estimate needs the camera's --hfov and --pitch in degrees")
    lens = Lens(hfov, pitch) if estimate and hfov is not None and pitch is not None else None
    wanted = AltitudeFilter(low, high, read_table(table) if table is not None else {}, lens)
    summary = Summary()
    with progress_bar("placing") as progress:
        count = filter_set(
            root, out, wanted, summary, force=force, copy=copy, workers=workers, progress=progress
        )
    summary.show(f"{low:g}-{high:g} m of {root}")
    typer.echo(f"wrote {count} frames to {out}")


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


def _data_set(name: str) -> DataSet:
    if name not in SETS:
        raise ConfigError(f"there is no data set {name!r} here; use one of {', '.join(SETS)}")
    return SETS[name]


def _shares(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    try:
        pairs = [part.split("=") for part in text.split(",")]
        shares = {split.strip(): float(share) for split, share in pairs}
    except ValueError:
        shares = {}
    if not shares or not all(0 < share < float("inf") for share in shares.values()):
        raise ConfigError(f"--shares {text!r} is not such as train=0.8,val=0.1,test=0.1")
    return shares


def _show_splits(splits: dict[str, Any]) -> None:
    for split, frames in splits.items():
        flights = {frame.flight for frame in frames}
        typer.echo(f"{split}: {len(flights)} flights, {len(frames)} frames")


@app.command("synth")
def data_synth(
    out: Annotated[Path, typer.Option(help="data set to write, or to go on with")] = WORKSPACE
    / "rgbt_scenes",
    count: Annotated[int, typer.Option(min=1, help="scenes to train on")] = 200,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="processes")] = 1,
    only: Annotated[str | None, typer.Option(help="one split: train, val, test or empty")] = None,
) -> None:
    """Render registered RGB + thermal scenes; a set that was broken off is gone on with."""
    from ..data.synth import parts, render_part

    chosen = [part for part in parts(count) if only in (None, part.name)]
    if not chosen:
        raise ConfigError(f"--only {only!r} must be one of train, val, test, empty")
    for part in chosen:
        with typer.progressbar(length=len(part.seeds), label=part.name) as bar:
            images = render_part(out, part, jobs, lambda: bar.update(1))
        typer.echo(f"{part.name}: {images} images")
