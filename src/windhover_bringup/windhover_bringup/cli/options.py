"""Options and arguments that several commands have, in one wording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from windhover.errors import SourceError

_BUNDLE = "Bundle folder, or its name in models/."
_BACKEND = "auto, cpu, qnn or dlc."
_POINT = (
    "The model's thresholds: balanced (near best F1), or quiet (few false alarms) where it has "
    "them."
)

Model = Annotated[str, typer.Option(help=_BUNDLE)]
ModelArgument = Annotated[str, typer.Argument(help=_BUNDLE)]
Backend = Annotated[str, typer.Option(help=_BACKEND)]

OperatingPoint = Annotated[str, typer.Option(help=_POINT)]

# None leaves what the config says.
GivenModel = Annotated[str | None, typer.Option(help=_BUNDLE)]
GivenBackend = Annotated[str | None, typer.Option(help=_BACKEND)]
GivenOperatingPoint = Annotated[str | None, typer.Option(help=_POINT)]
ConfigFile = Annotated[
    str | None, typer.Option(help="ROS parameter file, or the name of one in config/.")
]


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise SourceError(f"no such folder of images: {path}")
    return path


Images = Annotated[Path, typer.Option(help="Folder of the truth's images.", callback=_folder)]
Truth = Annotated[Path, typer.Option(help="COCO JSON, or HIT-UAV's own JSON.")]

Palette = Annotated[
    str,
    typer.Option(
        help="Palette of thermal pictures without counts: auto, white-hot, black-hot or "
        "ironbow (any that gets brighter with heat)."
    ),
]

LabelMap = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        help="NAME=LABEL: a category of the truth and which label of the model it is, such as "
        "motor=two-wheeler; NAME=ignore leaves it out of the scores. May be given again.",
    ),
]

BagTruth = Annotated[
    Path | None, typer.Option(help="COCO JSON whose images are the bag's, in their order.")
]
Rate = Annotated[
    float,
    typer.Option(
        help="1 = at the recording's own pace, newest frame wins; 0 = as fast as possible, every "
        "frame processed and two runs byte-for-byte the same.",
        min=0.0,
        max=100.0,
    ),
]
Start = Annotated[float, typer.Option(help="Seconds into the recording to begin.", min=0.0)]
Duration = Annotated[
    float | None, typer.Option(help="Seconds to play from there; default to the end.", min=0.0)
]
Remap = Annotated[
    list[str] | None,
    typer.Option(
        "--remap",
        help="A bag's image topic as a camera's: /cam/image:=camera/thermal/image_raw. "
        "(Topics that are published: --ros-args -r tracks:=other.)",
    ),
]


def split_list(text: str | None) -> list[str] | None:
    """The parts of a comma-separated option; ``None`` where it is not given."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
