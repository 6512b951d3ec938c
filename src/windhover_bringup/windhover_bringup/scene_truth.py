"""Keeps a rendered scene's exact truth while it is played, as a COCO file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from windhover.errors import SourceError
from windhover.evaluation.files import write_json
from windhover.sources import open_source
from windhover.sources.base import Source
from windhover.sources.rendered import RenderedScene
from windhover.sources.scene import SCENE_LABELS, SceneFrame, SceneSource, SceneTruth

# An object of which less is seen need not be found, and is not wrong when found.
LEAST_VISIBLE = 0.25


class _Recording(SceneSource):
    """A scene that remembers the truth of what it rendered."""

    def __init__(self, scene: SceneSource, truths: dict[int, SceneTruth]) -> None:
        super().__init__(scene.config, scene.camera, scene.encoding)
        self._truths = truths

    def render(self, index: int) -> SceneFrame:
        """A frame with its truth, which is kept."""
        frame = super().render(index)
        self._truths[index] = frame.truth
        return frame


class TruthKeeper:
    """Opens a scene so that its truth is kept."""

    def __init__(self) -> None:
        self._truths: dict[int, SceneTruth] = {}
        self._size = (0, 0)

    def open(self, uri: str, **options: Any) -> Source:
        """Open a ``scene:`` URI; stands in for ``open_source``.

        Raises:
            SourceError: it is no scene, or a bad one.
        """
        source = open_source(uri, **options)
        if not isinstance(source, RenderedScene):
            raise SourceError(f"{uri} is not a rendered scene; only those have a known truth")
        scene = source.scene
        config = scene.config
        self._size = config.thermal_size if scene.camera == "thermal" else config.rgb_size
        source.scene = _Recording(scene, self._truths)
        return source

    def write(self, folder: Path) -> Path:
        """Write ``truth.json``: COCO with ``track_id`` and ``visibility``.

        Returns:
            Its path.

        Raises:
            DataError: it can't be written.
        """
        path = folder / "truth.json"
        width, height = self._size
        annotations: list[dict[str, Any]] = []
        for index, truth in sorted(self._truths.items()):
            for box, label, track, visible in zip(
                truth.boxes.tolist(),
                truth.class_ids.tolist(),
                truth.track_ids.tolist(),
                truth.visibility.tolist(),
                strict=True,
            ):
                x1, y1, x2, y2 = box
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": index + 1,
                        "category_id": label + 1,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": (x2 - x1) * (y2 - y1),
                        "iscrowd": 0,
                        "ignore": int(visible < LEAST_VISIBLE),
                        "track_id": track,
                        "visibility": visible,
                    }
                )
        document = {
            "images": [
                {"id": i + 1, "file_name": f"{i:06d}", "width": width, "height": height}
                for i in sorted(self._truths)
            ],
            "annotations": annotations,
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(SCENE_LABELS)],
        }
        write_json(path, document, indent=None)
        return path
