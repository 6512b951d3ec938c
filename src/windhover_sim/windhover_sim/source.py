"""A rendered scene as a source of frames."""

from __future__ import annotations

from collections.abc import Iterator

from windhover.errors import ConfigError
from windhover.imaging.agc import percentile_agc
from windhover.types import Frame, Image
from windhover_sim.config import CAMERAS, ENCODINGS, SceneConfig, parse_scene_uri
from windhover_sim.scene import Scene, SceneFrame


class SceneSource:
    """One camera of a scene; fits ``windhover.sources.base.Source``.

    Attributes:
        config: the scene.
        camera: ``thermal`` or ``rgb``.
        encoding: ``mono16`` (raw counts) or ``mono8`` (tone mapped) for
            thermal, ``bgr8`` for RGB.
    """

    def __init__(
        self, config: SceneConfig, camera: str = "thermal", encoding: str | None = None
    ) -> None:
        """Set up a scene; its textures are drawn at the first frame.

        Args:
            config: the scene.
            camera: which of its cameras.
            encoding: pixel format; ``None`` takes the camera's own.

        Raises:
            ConfigError: unknown camera, or an encoding it can't give.
        """
        if camera not in CAMERAS:
            raise ConfigError(f"scene camera {camera!r} must be one of {', '.join(CAMERAS)}")
        encoding = encoding or ENCODINGS[camera][0]
        if encoding not in ENCODINGS[camera]:
            allowed = ", ".join(ENCODINGS[camera])
            raise ConfigError(f"the scene's {camera} camera gives {allowed}, not {encoding!r}")
        self.config = config
        self.camera = camera
        self.encoding = encoding
        self._name = f"scene:?seed={config.seed}&camera={camera}"
        self._scene: Scene | None = None

    @classmethod
    def from_uri(cls, uri: str) -> SceneSource:
        """Open a ``scene:`` URI; see ``parse_scene_uri`` for its keys and errors."""
        parsed = parse_scene_uri(uri)
        source = cls(parsed.config, parsed.camera, parsed.encoding)
        source._name = uri
        return source

    @property
    def name(self) -> str:
        """The URI it was opened from."""
        return self._name

    @property
    def rate_hz(self) -> float:
        """Frames a second."""
        return self.config.rate_hz

    @property
    def length(self) -> int:
        """How many frames there are."""
        return self.config.length

    @property
    def live(self) -> bool:
        """Always false: frames are rendered on request."""
        return False

    def render(self, index: int) -> SceneFrame:
        """Render a frame of this camera with its truth; frames may be requested in any order."""
        if self._scene is None:
            self._scene = Scene(self.config)
        return self._scene.render(index, "thermal" if self.camera == "thermal" else "rgb")

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.length):
            drawn = self.render(index)
            yield Frame(
                self.image(drawn), self.encoding, drawn.stamp_ns, f"{self.camera}_optical", index
            )

    def close(self) -> None:
        """Release the textures; iterating again draws them again."""
        self._scene = None

    def image(self, drawn: SceneFrame) -> Image:
        """A rendered frame's image in this source's encoding."""
        if drawn.thermal is None:
            assert drawn.rgb is not None
            return drawn.rgb
        return percentile_agc(drawn.thermal) if self.encoding == "mono8" else drawn.thermal
