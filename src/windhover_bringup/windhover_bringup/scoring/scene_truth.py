"""Records a rendered scene's exact truth while it is played, as a COCO file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windhover.errors import SourceError
from windhover.files import write_json
from windhover.imaging.reduction import reduced_size
from windhover.sources import open_source
from windhover.sources.base import Source
from windhover_sim import SceneFrame, SceneSource
from windhover_sim.rendered import RenderedScene
from windhover_sim.write import coco_document, drop_pixels


class _RecordedScene(SceneSource):
    """A scene that records the truth of the frames that it renders."""

    def __init__(self, scene: SceneSource, frames: dict[int, SceneFrame]) -> None:
        super().__init__(scene.config, scene.camera, scene.encoding)
        self._frames = frames

    def render(self, index: int) -> SceneFrame:
        """Render a frame and record its truth."""
        frame = super().render(index)
        self._frames[index] = drop_pixels(frame)
        return frame


class SceneTruthRecorder:
    """Opens a scene and records its truth."""

    def __init__(self) -> None:
        self._frames: dict[int, SceneFrame] = {}
        self._scene: SceneSource | None = None

    def open(self, uri: str, **options: Any) -> Source:
        """Open a ``scene:`` URI; stands in for ``open_source``.

        Raises:
            SourceError: it is no scene, or a bad one.
        """
        source = open_source(uri, **options)
        if not isinstance(source, RenderedScene):
            raise SourceError(f"{uri} is not a rendered scene; only those have a known truth")
        self._scene = source.scene = _RecordedScene(source.scene, self._frames)
        return source

    def write(self, folder: Path, width: int = 0) -> Path | None:
        """Write ``truth.json``: COCO with ``track_id``, ``visibility`` and altitude.

        Args:
            folder: for the file.
            width: columns to which the RGB camera reduced larger frames; 0 = it did not.

        Returns:
            Its path; ``None`` when nothing was rendered.

        Raises:
            DataError: it can't be written.
        """
        if self._scene is None or not self._frames:
            return None
        path = folder / "truth.json"
        frames = [frame for _, frame in sorted(self._frames.items())]
        document = coco_document(self._scene.config, self._scene.camera, frames)
        if width and self._scene.camera == "rgb":
            document = reduced_truth(document, width)
        write_json(path, document, indent=None)
        return path


def reduced_truth(document: Mapping[str, Any], width: int) -> dict[str, Any]:
    """Truth of a camera's frames in the pixels of the frames that are reduced from them.

    Args:
        document: as :func:`~windhover_sim.write.coco_document` makes it.
        width: columns of the reduced frames; images that are no wider stay as they are.
    """
    scales: dict[int, tuple[float, float]] = {}
    images, annotations = [], []
    for image in document["images"]:
        columns, rows = reduced_size((image["width"], image["height"]), width)
        x, y = columns / image["width"], rows / image["height"]
        scales[image["id"]] = x, y
        camera = {**image["camera"], "focal_px": image["camera"]["focal_px"] * x}
        images.append({**image, "width": columns, "height": rows, "camera": camera})
    for row in document["annotations"]:
        x, y = scales[row["image_id"]]
        boxes = {
            key: [value * scale for value, scale in zip(row[key], (x, y, x, y), strict=True)]
            for key in ("bbox", "amodal_bbox")
        }
        annotations.append({**row, **boxes, "area": row["area"] * x * y})
    return {**document, "images": images, "annotations": annotations}
