"""Records a rendered scene's exact truth while it is played, as a COCO file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from windhover.errors import SourceError
from windhover.files import write_json
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

    def write(self, folder: Path) -> Path | None:
        """Write ``truth.json``: COCO with ``track_id``, ``visibility`` and altitude.

        Returns:
            Its path; ``None`` when nothing was rendered.

        Raises:
            DataError: it can't be written.
        """
        if self._scene is None or not self._frames:
            return None
        path = folder / "truth.json"
        frames = [frame for _, frame in sorted(self._frames.items())]
        write_json(path, coco_document(self._scene.config, self._scene.camera, frames), indent=None)
        return path
