"""``windhover calibrate``: lenses of two cameras and the pose between them, with no ROS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windhover.errors import CalibrationError, ConfigError
from windhover.progress import progress

if TYPE_CHECKING:
    from windhover.geometry import Floats, Lens
    from windhover.pairing.board import Board, LensFit
    from windhover.pairing.edges import EdgeCorrespondences
    from windhover.pairing.registration import Picture

app = typer.Typer(
    help="Measure lenses and the pose between two cameras.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    """Measure lenses and the pose between two cameras."""


@app.command("board")
def board(
    rgb: Annotated[Path, typer.Option(help="Folder of RGB pictures of the board.")],
    thermal: Annotated[
        Path, typer.Option(help="Folder of the thermal pictures, in the same order.")
    ],
    columns: Annotated[int, typer.Option(help="Inner corners along the long side.")],
    rows: Annotated[int, typer.Option(help="Inner corners along the short side.")],
    square: Annotated[float, typer.Option(help="Side of a square, metres.")],
    out: Annotated[Path, typer.Option(help="Folder for rgbt.yaml, rgb.yaml, thermal.yaml, PNG.")],
) -> None:
    """Lenses and pose from pairs of pictures of a heated checkerboard."""
    from windhover.pairing.board import Board, fit_pose_to_boards
    from windhover.pairing.files import RgbtCalibration, save_rgbt
    from windhover_evaluation.registration.figures import calibration_figure, save

    target = Board(columns, rows, square)
    pairs = _pairs(rgb, thermal)
    with progress("looking for the board", len(pairs)) as bar:
        found = []
        for index, (first, second) in enumerate(pairs):
            found.append((_corners(first, target), _corners(second, target)))
            bar.update(index + 1)
    sizes = tuple((p.shape[1], p.shape[0]) for p in (_bgr(pairs[0][0]), _bgr(pairs[0][1])))
    fits = [
        _lens([v[side] for v in found if v[side] is not None], target, sizes[side], name)
        for side, name in enumerate(("RGB", "thermal"))
    ]
    both = [(a, b) for a, b in found if a is not None and b is not None]
    lenses = fits[0].lens, fits[1].lens
    pose = fit_pose_to_boards([a for a, _ in both], [b for _, b in both], target, *lenses)
    path = save_rgbt(
        out,
        RgbtCalibration(*lenses, pose.extrinsics, pose.median_px),
        {"method": "board", "pairs": len(both), "views": [fit.views for fit in fits]},
    )
    title = f"Checkerboard {columns}x{rows}, {len(both)} pairs"
    save(calibration_figure(title, pose.residuals_px, []), out / "report.png")
    for name, fit in zip(("RGB", "thermal"), fits, strict=True):
        typer.echo(f"{name} lens: {fit.views} views, median {_median(fit.residuals_px):.2f} px")
    _print_pose(path, pose.median_px, pose.extrinsics.translation)


@app.command("scene")
def scene(
    rgb: Annotated[Path, typer.Option(help="RGB picture, or folder of them.")],
    thermal: Annotated[Path, typer.Option(help="Thermal picture of the same instant, or folder.")],
    altitude: Annotated[
        list[float], typer.Option(help="Height over ground, metres; once, or once a pair.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for rgbt.yaml, rgb.yaml, thermal.yaml, PNG.")],
    pitch: Annotated[float, typer.Option(help="Tilt below the horizon, degrees; 90 = down.")] = 90,
    rgb_lens: Annotated[
        Path | None, typer.Option(help="YAML of its calibration, as camera_calibration writes it.")
    ] = None,
    thermal_lens: Annotated[
        Path | None, typer.Option(help="The same for the thermal camera.")
    ] = None,
    rgb_hfov: Annotated[float, typer.Option(help="Or its horizontal field of view, degrees.")] = 0,
    thermal_hfov: Annotated[float, typer.Option(help="The same for the thermal camera.")] = 0,
    baseline: Annotated[
        str,
        typer.Option(
            help="Position of the RGB lens from the thermal one: right,down,forward, metres."
        ),
    ] = "0,0,0",
    fixed: Annotated[
        bool, typer.Option("--fixed", help="Write one homography for this height, not a pose.")
    ] = False,
) -> None:
    """Pose from edges that both pictures of a scene on the ground show."""
    from windhover.geometry import Extrinsics, down_of_pitch
    from windhover.pairing.edges import match
    from windhover.pairing.files import FixedHomography, RgbtCalibration, save_rgbt
    from windhover.pairing.fitting import fit_homography, fit_pose
    from windhover.pairing.registration import Pose
    from windhover_evaluation.registration.study import BASELINE_SIGMA_M

    pairs = [(_bgr(a), _grey(b)) for a, b in _pairs(rgb, thermal)]
    heights = altitude * len(pairs) if len(altitude) == 1 else altitude
    if len(heights) != len(pairs):
        raise ConfigError(f"{len(pairs)} pairs and {len(heights)} altitudes; give one, or one each")
    lens = _lens_or_hfov(rgb_lens, rgb_hfov, pairs[0][0], "rgb")
    other = _lens_or_hfov(thermal_lens, thermal_hfov, pairs[0][1], "thermal")
    first = Extrinsics(translation=_vector(baseline))
    poses = [Pose(height, down_of_pitch(pitch)) for height in heights]
    matches: list[EdgeCorrespondences] = []
    with progress("matching edges", len(pairs)) as bar:
        for index, ((bgr, grey), pose) in enumerate(zip(pairs, poses, strict=True)):
            one = match(bgr, grey, lens, other, first, pose)
            matches += [one] if one is not None else []
            bar.update(index + 1)
    fit = fit_pose(matches, lens, other, first, BASELINE_SIGMA_M)
    about = {
        "method": "scene",
        "pairs": len(matches),
        "altitude_m": [round(one.altitude_m, 2) for one in matches],
        "edge_correlation": [round(one.correlation, 3) for one in matches],
    }
    result: RgbtCalibration | FixedHomography = RgbtCalibration(
        lens, other, fit.extrinsics, fit.median_px
    )
    if fixed:
        result = FixedHomography(fit_homography(matches[0]), lens.size, other.size)
    path = save_rgbt(out, result, about)
    _draw_report(result, pairs, poses, fit.residuals_px, out)
    typer.echo(f"{len(matches)} of {len(pairs)} pairs have edges in common")
    _print_pose(path, fit.median_px, fit.extrinsics.translation)


def _pairs(rgb: Path, thermal: Path) -> list[tuple[Path, Path]]:
    """Pictures of the same instants, by the order of their names."""
    from windhover.sources.files import IMAGE_SUFFIXES, natural_key

    def listed(path: Path) -> list[Path]:
        if not path.exists():
            raise ConfigError(f"no such file or folder: {path}")
        files = [path] if path.is_file() else list(path.iterdir())
        return sorted(
            (file for file in files if file.suffix.lower() in IMAGE_SUFFIXES),
            key=lambda file: natural_key(file.name),
        )

    first, second = listed(rgb), listed(thermal)
    if not first or len(first) != len(second):
        raise ConfigError(
            f"{len(first)} RGB and {len(second)} thermal pictures: give as many of each, in the "
            "same order"
        )
    return list(zip(first, second, strict=True))


def _bgr(path: Path) -> Picture:
    from windhover.imaging.formats import to_bgr
    from windhover.sources.files import read_image

    return to_bgr(*read_image(path))


def _grey(path: Path) -> Picture:
    from windhover.imaging.formats import to_gray8
    from windhover.sources.files import read_image

    return to_gray8(*read_image(path))


def _corners(path: Path, target: Board) -> Floats | None:
    from windhover.pairing.board import find_corners

    return find_corners(_grey(path), target)


def _lens(views: list[Any], target: Board, size: tuple[int, int], name: str) -> LensFit:
    from windhover.pairing.board import fit_lens

    return fit_lens(views, target, size, name)


def _lens_or_hfov(file: Path | None, hfov: float, picture: Picture, name: str) -> Lens:
    from windhover.geometry import Lens
    from windhover.pairing.files import load_lens

    size = picture.shape[1], picture.shape[0]
    if file is None:
        if not 1 <= hfov <= 150:
            raise ConfigError(f"give --{name}-lens, or --{name}-hfov in degrees (1 to 150)")
        return Lens.from_hfov(size, hfov)
    lens = load_lens(file)
    if lens.size != size:
        raise CalibrationError(
            f"calibration {file} is for {lens.width}x{lens.height} and the pictures are "
            f"{size[0]}x{size[1]}; calibrate at that size"
        )
    return lens


def _vector(text: str) -> Floats:
    import numpy as np

    try:
        values = np.array([float(part) for part in text.split(",")])
    except ValueError:
        values = np.empty(0)
    if values.shape != (3,) or not np.isfinite(values).all() or np.abs(values).max() > 5:
        raise ConfigError(f"--baseline {text!r} must be right,down,forward in metres: 0.06,0,0")
    return values


def _draw_report(result: Any, pairs: Any, poses: Any, residuals_px: Floats, out: Path) -> None:
    from windhover.pairing.registration import Registration
    from windhover_evaluation.registration.figures import (
        calibration_figure,
        checkerboard,
        overlay,
        save,
    )

    bgr, grey = pairs[0]
    registered = Registration(result).warp(grey, (bgr.shape[1], bgr.shape[0]), poses[0])
    pictures = [
        (
            "RGB in grey, edges of the registered thermal picture in orange",
            overlay(bgr, registered),
        ),
        ("RGB and thermal in turn", checkerboard(bgr, registered)),
    ]
    title = f"Matched edges, {len(pairs)} pair(s)"
    save(calibration_figure(title, residuals_px, pictures), out / "report.png")


def _median(values: Floats) -> float:
    import numpy as np

    return float(np.median(values))


def _print_pose(path: Path, median_px: float, translation: Floats) -> None:
    x, y, z = (100 * value for value in translation)
    typer.echo(f"median residual {median_px:.2f} thermal px; RGB lens {x:.1f} cm right, {y:.1f} cm "
               f"down, {z:.1f} cm ahead of the thermal one")  # fmt: skip
    typer.echo(f"wrote {path} and {path.with_name('report.png')}: look at the report")
