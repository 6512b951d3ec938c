"""``windhover predict``: a model over pictures, a video or a bag; no ROS and no truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windhover.errors import ConfigError, SourceError
from windhover.progress import progress
from windhover_bringup.cli import options

if TYPE_CHECKING:
    from windhover.model.bundle import Bundle
    from windhover.model.detector import Detector
    from windhover.model.manifest import Thresholds
    from windhover.sources import Source
    from windhover.types import Frame


def predict(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder of pictures, picture, video, bag, v4l2:///dev/video0 or another source."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Bundle folder, or its name in models/.", show_default="by the first picture"
        ),
    ] = None,
    conf: Annotated[
        float | None,
        typer.Option(
            help="Score threshold of all classes; default those of --operating-point.",
            min=0.0,
            max=1.0,
        ),
    ] = None,
    operating_point: options.OperatingPoint = "balanced",
    classes: Annotated[
        str | None, typer.Option(help="Keep these only, by name or number: person,vehicle.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results.", show_default="out/predict, out/predict_1, ..."
        ),
    ] = None,
    save: Annotated[
        bool, typer.Option(help="Write annotated pictures, or a video of what is none.")
    ] = True,
    save_txt: Annotated[
        bool, typer.Option("--save-txt", help="Write labels/NAME.txt as well, in YOLO's form.")
    ] = False,
    save_conf: Annotated[
        bool, typer.Option("--save-conf", help="Write the same with a score in each line.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Open the result with the desktop's viewer.")
    ] = False,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames a second of a video; of pictures, make a video as well.", min=0.1
        ),
    ] = None,
    palette: Annotated[
        str | None,
        typer.Option(help="Thermal pictures without counts: the palette that they are in."),
    ] = None,
    backend: options.Backend = "auto",
) -> None:
    """Find objects in pictures, a video or a bag: annotated copies, labels and a summary."""
    from windhover.model.bundle import Bundle
    from windhover.model.detector import Detector
    from windhover.sources import is_device
    from windhover_bringup.prediction.run import (
        Outputs,
        class_filter,
        colour_warning,
        default_model,
    )
    from windhover_bringup.prediction.run import predict as run
    from windhover_bringup.recording.bag import next_part
    from windhover_bringup.start_block import start_block

    if source.startswith(("rgb=", "thermal=")):
        raise ConfigError(
            "predict looks at one source; for two cameras use 'windhover replay "
            "rgb=URI,thermal=URI --out DIR'"
        )
    first = None if is_device(source) else _first_frame(source)
    bundle = Bundle.load(model or default_model(first))
    limits = _thresholds(bundle, conf, operating_point)
    wanted = options.split_list(classes)
    class_filter(bundle.labels, wanted)  # a mistyped class shows before anything is opened
    folder = out or next_part(Path("out/predict"))
    unreadable: list[str] = []
    opened = _open(source, bundle, fps, palette, lambda error: unreadable.append(str(error)))
    try:
        with Detector(bundle, backend, thresholds=limits) as detector:
            typer.echo(start_block(_rows(detector, source, folder, save)), err=True)
            warning = colour_warning(first, detector) if first is not None else None
            if warning:
                typer.echo(f"warning: {warning}", err=True)
            outputs = Outputs(folder, save, save_txt, save_conf, fps)
            with progress("predicting", opened.length) as bar:
                result = run(opened, detector, outputs, wanted, bar.update)
    finally:
        opened.close()
    result.unreadable = unreadable
    typer.echo(result.summary())
    typer.echo(f"wrote {folder}")
    if show:
        _show(result.written[0])
    if unreadable:
        raise typer.Exit(2)


def _rows(detector: Detector, source: str, folder: Path, save: bool) -> dict[str, str]:
    """What is shown at the start."""
    bundle = detector.bundle
    size = f"{bundle.input.width}x{bundle.input.height}"
    return {
        "model": f"{bundle.name} {bundle.version}, {bundle.modality} {size}",
        "backend": f"{detector.backend.name}: {detector.backend.device}",
        "finds": ", ".join(bundle.labels),
        "input": source,
        "next": str(folder if save else folder / "predictions.json"),
    }


def _thresholds(bundle: Bundle, conf: float | None, point: str) -> Thresholds:
    from windhover.model.manifest import Thresholds

    own = bundle.thresholds_at(point)
    if conf is None:
        return own
    return Thresholds(score=conf, iou=own.iou, max_detections=own.max_detections)


def _open(
    uri: str,
    bundle: Bundle,
    fps: float | None,
    palette: str | None,
    on_skip: Callable[[SourceError], None],
) -> Source:
    """The source, with its frames as the model takes them."""
    from windhover.sources import open_source

    return open_source(
        uri,
        rate_hz=fps,
        as_gray=bundle.modality == "thermal",
        camera=None if bundle.modality == "rgbt" else bundle.modality,
        fourth_channel="thermal" if bundle.modality == "rgbt" else "alpha",
        palette=palette or "auto",
        on_bad="skip",
        on_skip=on_skip,
    )


def _first_frame(uri: str) -> Frame | None:
    """A frame in the source's own colours."""
    from windhover.sources import open_source

    try:
        return next(iter(open_source(uri, on_bad="skip")), None)
    except SourceError:
        return None


def _show(path: Path) -> None:
    import shutil
    import subprocess

    program = shutil.which("xdg-open")
    if program is None:
        raise ConfigError(f"--show needs a desktop with xdg-open; open {path} yourself")
    subprocess.run([program, str(path)], check=False)
