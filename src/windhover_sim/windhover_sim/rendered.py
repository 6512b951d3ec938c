"""Frames of a rendered scene, with the timing options that every source has."""

from __future__ import annotations

from collections.abc import Iterator

from windhover.errors import ConfigError, SourceError
from windhover.sources.kinds import SourceKind
from windhover.sources.options import SourceOptions
from windhover.sources.recorded import DecodedFrame, RecordedSource
from windhover_sim import SceneSource
from windhover_sim.calibration import calibration_of, of_camera, pairing_values


class RenderedScene(RecordedSource):
    """A :class:`~windhover_sim.SceneSource` as a file-like source.

    Attributes:
        scene: the renderer's own source, which has the truth of every frame.
    """

    def __init__(self, scene: SceneSource, name: str, options: SourceOptions) -> None:
        """Wrap a scene.

        Args:
            scene: the renderer's source.
            name: the URI, for messages.
            options: ``rate_hz`` (replaces the scene's timing, not its motion),
                ``loop``, ``start_stamp_ns`` and ``frame_id`` are read.
        """
        self.scene = scene
        super().__init__(name, options.rate_hz or scene.rate_hz, scene.length, options)

    def close(self) -> None:
        """Release the renderer's textures."""
        self.scene.close()

    def _read(self) -> Iterator[DecodedFrame | SourceError]:
        first_ns: int | None = None
        for count, frame in enumerate(self.scene):
            if first_ns is None:
                first_ns = frame.stamp_ns
            passed_ns = frame.stamp_ns - first_ns
            if self._options.rate_hz:
                passed_ns = round(count * 1e9 / self._rate_hz)
            stamp_ns = self._options.start_stamp_ns + passed_ns
            yield DecodedFrame(frame.image, frame.encoding, stamp_ns, frame.frame_id)


def open_scene(uri: str, options: SourceOptions) -> RenderedScene:
    """Open a ``scene:`` URI.

    Args:
        uri: as :func:`windhover_sim.parse_scene_uri` takes it.
        options: its ``camera`` counts where the URI names none.

    Returns:
        The source.

    Raises:
        SourceError: the URI names no scene, or an option out of range.
    """
    if options.camera and "camera=" not in uri:
        uri += f"{'&' if '?' in uri else '?'}camera={options.camera}"
    try:
        scene = SceneSource.from_uri(uri)
    except ConfigError as error:
        raise SourceError(f"{uri}: {error}") from error
    return RenderedScene(scene, uri, options)


def _open(_rest: str, uri: str, options: SourceOptions) -> RenderedScene:
    return open_scene(uri, options)


SCENE = SourceKind(
    _open,
    "scene:demo?seed=1&altitude=40",
    shared=lambda uri: of_camera(uri, None),
    calibration=calibration_of,
    pairing=pairing_values,
)
"""The source ``scene:``, registered as an entry point."""
