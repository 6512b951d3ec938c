"""A scene as files: images, COCO truth and MOTChallenge truth.

Folder layout, one a camera, as in MOTChallenge (https://motchallenge.net)::

    <out>/thermal/img1/000001.png      16-bit counts, or 8-bit grey
    <out>/thermal/truth.json           COCO, with altitude and camera pose
    <out>/thermal/gt/gt.txt            frame,id,x,y,w,h,flag,class,visibility
    <out>/thermal/seqinfo.ini

Truth is written after the images: a folder that has it is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from windhover.errors import ConfigError, DataError
from windhover.files import write_atomic, write_json
from windhover.types import Image
from windhover_sim.camera import Camera
from windhover_sim.config import CAMERAS, SCENE_LABELS, SceneConfig
from windhover_sim.scene import SceneFrame
from windhover_sim.source import SceneSource
from windhover_sim.truth import SceneTruth

#: Objects less visible than this are to be ignored by scores: ``iscrowd`` 1 in
#: COCO, flag 0 in MOTChallenge.
MIN_VISIBLE_SHARE: Final = 0.25


def write_scene(
    config: SceneConfig,
    out_dir: Path | str,
    cameras: Sequence[str] = ("thermal",),
    frames: int | None = None,
    encoding: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Render a scene into a folder a camera.

    Args:
        config: the scene.
        out_dir: made if need be; files that are there already are replaced.
        cameras: ``thermal``, ``rgb`` or both.
        frames: how many, from the first; ``None`` for the whole clip.
        encoding: of the thermal images, ``mono16`` (default) or ``mono8``.
        progress: called with frames done and frames in all.

    Returns:
        Path of the COCO truth of each camera, in the order of ``cameras``.

    Raises:
        ConfigError: unknown camera or encoding, or more frames than there are.
        DataError: a file can't be written.
    """
    count = config.length if frames is None else frames
    if not 0 < count <= config.length:
        raise ConfigError(f"scene frames={count} is out of range: 1 to {config.length}")
    sources = [
        SceneSource(config, name, encoding if name == CAMERAS[0] else None) for name in cameras
    ]
    written = []
    for number, source in enumerate(sources):
        folder = Path(out_dir) / source.camera
        drawn: list[SceneFrame] = []
        for index in range(count):
            frame = source.render(index)
            _write_png(folder / "img1" / image_name(index), source.image(frame))
            drawn.append(drop_pixels(frame))
            if progress is not None:
                progress(number * count + index + 1, len(sources) * count)
        source.close()
        write_atomic(folder / "gt" / "gt.txt", mot_rows(drawn))
        write_atomic(folder / "seqinfo.ini", _seqinfo(source, count))
        truth = folder / "truth.json"
        write_json(truth, coco_document(config, source.camera, drawn))
        written.append(truth)
    return written


def image_name(index: int) -> str:
    """File name of a frame: MOTChallenge counts from 1."""
    return f"{index + 1:06d}.png"


def drop_pixels(frame: SceneFrame) -> SceneFrame:
    """The frame without its images, so that many can be kept in memory."""
    empty16, empty8 = np.empty((0, 0), np.uint16), np.empty((0, 0, 3), np.uint8)
    return SceneFrame(
        frame.index,
        frame.stamp_ns,
        frame.altitude_m,
        None if frame.thermal is None else empty16,
        None if frame.rgb is None else empty8,
        frame.thermal_truth,
        frame.rgb_truth,
        frame.thermal_camera,
        frame.rgb_camera,
    )


def coco_document(config: SceneConfig, camera: str, frames: Sequence[SceneFrame]) -> dict[str, Any]:
    """COCO truth of frames of one camera.

    Image records also have ``altitude`` (metres), ``time_of_day`` (day, dusk or
    night), ``stamp_ns`` and ``camera`` (lens and pose); annotations also have
    ``track_id``, ``visibility``, ``amodal_bbox`` and, for weapons and riders,
    ``carrier_id``.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    time_of_day = _time_of_day(config.hour)
    for frame in frames:
        lens = frame.thermal_camera if camera == "thermal" else frame.rgb_camera
        truth = frame.thermal_truth if camera == "thermal" else frame.rgb_truth
        images.append(
            {
                "id": frame.index + 1,
                "file_name": f"img1/{image_name(frame.index)}",
                "width": lens.intrinsics.width,
                "height": lens.intrinsics.height,
                "altitude": frame.altitude_m,
                "time_of_day": time_of_day,
                "stamp_ns": frame.stamp_ns,
                "camera": _pose(lens),
            }
        )
        for row in _annotations(truth):
            annotations.append({"id": len(annotations) + 1, "image_id": frame.index + 1, **row})
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(SCENE_LABELS)]
    info = {"description": f"rendered scene, {camera} camera", "seed": config.seed}
    return {"info": info, "images": images, "categories": categories, "annotations": annotations}


def mot_rows(frames: Sequence[SceneFrame]) -> str:
    """MOTChallenge truth: ``frame,id,x,y,w,h,flag,class,visibility``, class from 1."""
    lines = []
    for frame in frames:
        for row in _annotations(frame.truth):
            x, y, w, h = row["bbox"]
            flag = 1 - row["iscrowd"]
            lines.append(
                f"{frame.index + 1},{row['track_id']},{x:.2f},{y:.2f},{w:.2f},{h:.2f},"
                f"{flag},{row['category_id']},{row['visibility']:.3f}\n"
            )
    return "".join(lines)


def _annotations(truth: SceneTruth) -> list[dict[str, Any]]:
    rows = []
    for index in range(len(truth)):
        x0, y0, x1, y1 = truth.boxes[index].tolist()
        a0, b0, a1, b1 = truth.amodal[index].tolist()
        visibility = float(truth.visibility[index])
        row = {
            "category_id": int(truth.class_ids[index]) + 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": int(visibility < MIN_VISIBLE_SHARE),
            "track_id": int(truth.track_ids[index]),
            "visibility": visibility,
            "amodal_bbox": [a0, b0, a1 - a0, b1 - b0],
        }
        if truth.carrier_ids[index]:
            row["carrier_id"] = int(truth.carrier_ids[index])
        rows.append(row)
    return rows


def _pose(camera: Camera) -> dict[str, Any]:
    """Lens in continuous pixels; pose in world metres, rotation world to optical."""
    return {
        "focal_px": camera.intrinsics.focal,
        "position": camera.position,
        "rotation": camera.rotation,
    }


def _time_of_day(hour: float) -> str:
    if 6.5 <= hour < 18.5:
        return "day"
    return "dusk" if 5.5 <= hour < 20.5 else "night"


def _seqinfo(source: SceneSource, frames: int) -> str:
    config = source.config
    width, height = config.thermal_size if source.camera == "thermal" else config.rgb_size
    return (
        f"[Sequence]\nname=scene-{config.seed}-{source.camera}\nimDir=img1\n"
        f"frameRate={config.rate_hz:g}\nseqLength={frames}\n"
        f"imWidth={width}\nimHeight={height}\nimExt=.png\n"
    )


def _write_png(path: Path, image: Image) -> None:
    # Low compression: noise does not compress, and files are read far more often.
    done, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise DataError(f"{path}: OpenCV could not encode a {image.shape} image as PNG")
    write_atomic(path, data.tobytes())
