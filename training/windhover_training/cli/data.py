"""``windhover-train data``: convert, filter, split and describe data sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from windhover.errors import ConfigError, DataError
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers.metadata import read_table
from windhover_training.data.readers.records import MODALITIES, LabelledFrame
from windhover_training.data.readers.sets import SETS, DataSet

from ..console import table_console
from ..progress import progress_bar
from .fan_out import PROCESSES, Cluster, Count, workers_for
from .paths import WORKSPACE

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
    table_console().print(table)
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
    workers: Count = PROCESSES,
    cluster: Cluster = None,
    force: Force = False,
) -> None:
    """Convert a set as published, split it by flight, and say what was kept and dropped."""
    from functools import partial

    from windhover_training.data.convert.check import check_frames
    from windhover_training.data.convert.split import choose
    from windhover_training.data.convert.writer import WriteOptions, write_set
    from windhover_training.data.readers import coco

    from ..outputs import new_folder

    data_set, summary = _data_set(name), Summary()
    if modality not in MODALITIES:
        raise ConfigError(f"--modality {modality!r}: use one of {', '.join(MODALITIES)}")
    root = root.absolute()
    places = [root] if images is None else [root, images.absolute()]
    read = data_set.read
    if read is coco.read:
        read = partial(coco.read, images=None if images is None else places[1], modality=modality)
    known = read_table(table) if table is not None else None
    with new_folder(out or WORKSPACE / name.replace("-", "_"), force=force) as part:
        raws = list(read(root, summary))
        mapped = data_set.label_map(labels, raws)
        with workers_for(workers, cluster, part, *places) as several:
            with progress_bar("checking") as progress:
                frames = check_frames(
                    raws, mapped, name, summary, table=known, workers=several, progress=progress
                )
            boxes = sum(len(frame.class_ids) for frame in frames)
            if not frames or (not boxes and summary.count("dropped", "box")):
                raise DataError(f"{root}: nothing usable is left ({summary.worst()})")
            splits, how = choose(
                frames, len(mapped.labels), summary, held_out=held_out, shares=_shares(shares)
            )
            with progress_bar("writing") as progress:
                write_set(
                    part, splits, mapped.labels, summary, WriteOptions(copy=copy), progress,
                    several, source=name, credit=data_set.credit, split=how,
                )  # fmt: skip
    summary.show(f"{name}, split {how}")
    _show_splits(splits, mapped.labels)
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
    workers: Count = PROCESSES,
    cluster: Cluster = None,
    force: Force = False,
) -> None:
    """Keep frames of an altitude range; resumes one that was stopped."""
    from windhover_training.data.convert.altitude import AltitudeFilter, filter_set
    from windhover_training.data.convert.altitude_estimate import CameraView

    if low > high:
        raise ConfigError(f"--min-altitude {low:g} is above --max-altitude {high:g}")
    if estimate and (hfov is None or pitch is None):
        raise ConfigError("--estimate needs the camera's --hfov and --pitch in degrees")
    lens = CameraView(hfov, pitch) if estimate and hfov is not None and pitch is not None else None
    wanted = AltitudeFilter(low, high, read_table(table) if table is not None else {}, lens)
    summary = Summary()
    with progress_bar("placing") as progress:
        count = filter_set(
            root, out, wanted, summary, force=force, copy=copy,
            count=workers, cluster=cluster, progress=progress,
        )  # fmt: skip
    summary.show(f"{low:g}-{high:g} m of {root}")
    typer.echo(f"wrote {count} frames to {out}")


@app.command("split")
def data_split(
    root: Annotated[Path, typer.Argument(help="converted set")],
    out: Annotated[Path, typer.Option(help="data set to write")],
    held_out: HeldOut = None,
    shares: Shares = "train=0.8,val=0.1,test=0.1",
    copy: Copy = False,
    workers: Count = PROCESSES,
    cluster: Cluster = None,
    force: Force = False,
) -> None:
    """Split a converted set again, by flight and never by frame."""
    from windhover_training.data.convert.split import choose
    from windhover_training.data.convert.writer import WriteOptions, write_set
    from windhover_training.data.readers.dataset import load_set

    from ..outputs import new_folder

    loaded, summary = load_set(root.absolute()), Summary()
    splits, how = choose(
        loaded.frames, len(loaded.labels), summary, held_out=held_out, shares=_shares(shares)
    )
    with (
        new_folder(out, force=force) as part,
        workers_for(workers, cluster, part, root.absolute()) as several,
        progress_bar("writing") as progress,
    ):
        write_set(
            part, splits, loaded.labels, summary, WriteOptions(copy=copy), progress,
            several, split_from=str(root), split=how,
        )  # fmt: skip
    _show_splits(splits, loaded.labels)
    if summary.counts:
        summary.show(f"split {how}")
    typer.echo(f"wrote {out}, split {how}")


@app.command("stats")
def data_stats(
    roots: Annotated[list[Path], typer.Argument(help="converted sets, taken together")],
    out: Annotated[Path | None, typer.Option(help="folder for JSON and plots")] = None,
    size: Annotated[str, typer.Option("--input-size", help="of the network, WxH")] = "640x640",
    force: Force = False,
) -> None:
    """Say how large objects are at the network input, and what size and head that asks for."""
    from windhover.files import write_json
    from windhover_evaluation.report.plots import to_png
    from windhover_training.data.describe import plots
    from windhover_training.data.describe.stats import describe, measure
    from windhover_training.data.readers.dataset import load_set

    from ..outputs import new_folder
    from .tables import show_stats

    input_wh = input_size(size)
    sizes = measure([load_set(root) for root in roots])
    found = describe(sizes, input_wh)
    show_stats(found)
    folder = out or WORKSPACE / "stats" / roots[0].name
    with new_folder(folder, force=force) as part:
        write_json(part / "stats.json", found)
        figures = {
            "sides": plots.sides(sizes, input_wh),
            "altitude": plots.by_altitude(sizes, input_wh),
            "counts": plots.counts(sizes),
        }
        for name, figure in figures.items():
            if figure is not None:
                (part / f"{name}.png").write_bytes(to_png(figure))
    typer.echo(f"wrote {folder}")


def anchors(
    roots: Annotated[list[Path], typer.Argument(help="converted sets, taken together")],
    out: Annotated[Path, typer.Option(help="JSON file; the plot goes beside it")] = WORKSPACE
    / "anchors.json",
    count: Annotated[int, typer.Option("--n", min=1, max=64, help="clusters")] = 9,
    size: Annotated[str, typer.Option("--input-size", help="of the network, WxH")] = "640x640",
    seed: Annotated[int, typer.Option(help="of the starting centres")] = 0,
    force: Force = False,
) -> None:
    """Cluster box sizes by IoU; YOLO11 and YOLO26 are anchor-free and use none of them."""
    from windhover.files import write_atomic, write_json
    from windhover_evaluation.report.plots import to_png
    from windhover_training.data.describe import plots
    from windhover_training.data.describe.anchors import cluster, describe_anchors
    from windhover_training.data.describe.stats import measure
    from windhover_training.data.readers.dataset import load_set

    from ..outputs import refuse_to_overwrite
    from .tables import show_anchors

    input_wh = input_size(size)
    picture = out.with_suffix(".png")
    for path in (out, picture):
        refuse_to_overwrite(path, force=force)
    sizes = measure([load_set(root) for root in roots])
    at_input = sizes.at_input(input_wh)
    found = cluster(at_input, count, seed)
    document = describe_anchors(found, sizes, input_wh)
    write_json(out, document)
    write_atomic(picture, to_png(plots.anchors(at_input, found, input_wh)))
    show_anchors(document)
    typer.echo(f"wrote {out} and {picture.name}")


@app.command("render-thermal")
def render_thermal(
    out: Annotated[Path, typer.Option(help="data set to write")] = WORKSPACE / "scenes",
    train: Annotated[int, typer.Option(min=1, help="scenes to train on")] = 120,
    test: Annotated[int, typer.Option(min=1, help="scenes to score on")] = 20,
    workers: Count = PROCESSES,
    cluster: Cluster = None,
    force: Force = False,
) -> None:
    """Render thermal scenes with truth: training and test scenes never share a seed."""
    from windhover_training.data.render.thermal_scenes import render_split

    from ..outputs import new_folder

    splits = {"test": range(test), "train": range(10_000, 10_000 + train)}
    with new_folder(out, force=force) as part, workers_for(workers, cluster, part) as several:
        for name, seeds in splits.items():
            with progress_bar(f"rendering {name}") as progress:
                count = render_split(part, name, seeds, several, progress)
            typer.echo(f"{name}: {count} images")
    typer.echo(f"wrote {out}")


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


def input_size(text: str, option: str = "--input-size") -> tuple[int, int]:
    """Width and height of ``640x512``, or of ``640`` for a square.

    Raises:
        ConfigError: it is neither, or no size that a network can have.
    """
    parts = text.lower().split("x")
    numbers = [int(part) for part in parts if part.isascii() and part.isdigit()]
    if len(numbers) != len(parts) or len(parts) > 2 or min(numbers) < 32:
        raise ConfigError(f"{option} {text!r} is not such as 640x512")
    return numbers[0], numbers[-1]


def _show_splits(splits: Mapping[str, Sequence[LabelledFrame]], labels: Sequence[str]) -> None:
    table = Table("split", "flights", "frames", "day", "night", *labels)
    for split, frames in splits.items():
        times = Counter(frame.time_of_day for frame in frames)
        objects = Counter(i for frame in frames for i in frame.class_ids.tolist())
        numbers = [len({f.flight for f in frames}), len(frames), times["day"], times["night"]]
        numbers += [objects[i] for i in range(len(labels))]
        table.add_row(split, *map(str, numbers))
    table_console().print(table)
