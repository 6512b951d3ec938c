"""``windhover-train import``: a bundle of a model that was trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from windhover.errors import ConfigError
from windhover.model.bundle import MANIFEST_NAME

from ..outputs import new_folder
from .data import input_size


def import_command(
    model: Annotated[
        Path, typer.Argument(help="weights (best.pt) or ONNX export of YOLOv8, YOLO11 or YOLO26")
    ],
    out: Annotated[Path, typer.Option("--out", help="bundle folder, such as models/mine")],
    pictures: Annotated[
        list[Path],
        typer.Option("--calibration", help="folder of pictures to choose INT8 ranges on"),
    ],
    labels: Annotated[
        str,
        typer.Option(help="classes to keep, as person,car=vehicle [default: all of the file's]"),
    ] = "",
    size: Annotated[
        str | None, typer.Option(help="of the input, WxH [default: the file's own, or 640x640]")
    ] = None,
    name: Annotated[str | None, typer.Option(help="of the bundle [default: the folder's]")] = None,
    version: Annotated[str, typer.Option(help="of the bundle")] = "1",
    images: Annotated[int, typer.Option(min=1, help="pictures to choose ranges on")] = 64,
    compared: Annotated[
        int, typer.Option(min=1, help="pictures to compare float, INT8 and HTP on")
    ] = 8,
    iou: Annotated[
        float, typer.Option(min=0.1, max=0.95, help="of NMS; 0.7 is Ultralytics' default")
    ] = 0.7,
    soc: Annotated[str, typer.Option(help="chip to compile for")] = "qcs8550",
    scores: Annotated[
        list[str] | None,
        typer.Option("--score", help="NAME=FOLDER:SPLIT, a converted set to score it on"),
    ] = None,
    card: Annotated[
        Path | None, typer.Option(help="YAML: summary, use, data, limits, ... of the model card")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace an earlier bundle")] = False,
) -> None:
    """Make a bundle of your own Ultralytics model: float, INT8, .dlc and the chip's graph."""
    from ..export.import_model import ImportSettings, import_model

    hw = None
    if size is not None:
        width, height = input_size(size, "--size")
        hw = (height, width)
    settings = ImportSettings(
        model=model,
        name=name or out.resolve().name,
        pictures=pictures,
        version=version,
        labels=[label.strip() for label in labels.split(",") if label.strip()],
        size=hw,
        images=images,
        compared=compared,
        iou=iou,
        soc=soc,
        scores=dict(scored_on(text) for text in scores or []),
        provenance=_card(card) if card is not None else {},
    )
    with new_folder(out, force=force, mark=MANIFEST_NAME) as part:
        made = import_model(settings, part, say=lambda text: typer.echo(text, err=True))
    for title, near in made.fidelity.items():
        typer.echo(
            f"{title}: {near.matched} of {near.reference_count} detections of float.onnx, "
            f"mean IoU {near.mean_iou:.3f}"
        )
    for line in made.warnings:
        typer.echo(f"warning: {line}", err=True)
    typer.echo(f"wrote {out} ({made.bundle.digest}): {', '.join(made.bundle.labels)}")


def scored_on(text: str) -> tuple[str, tuple[Path, str]]:
    """``NAME=FOLDER:SPLIT`` of a command line.

    Raises:
        ConfigError: it is something else.
    """
    name, equals, place = text.partition("=")
    folder, colon, split = place.rpartition(":")
    if not (name and equals and folder and colon and split):
        raise ConfigError(f"--score {text!r} is not NAME=FOLDER:SPLIT")
    return name, (Path(folder), split)


def _card(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not YAML ({error})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds no mapping")
    return values
