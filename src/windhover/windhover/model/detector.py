"""Frame in, detections out: letterbox, inference, decode, NMS and back to source pixels."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import BackendError, BundleError, ConfigError
from windhover.imaging.agc import ToneMapper
from windhover.imaging.colour import is_coloured
from windhover.imaging.display import draw_results
from windhover.imaging.formats import to_channels
from windhover.imaging.letterbox import Letterbox
from windhover.inference import BACKENDS, Choice, choose_backend
from windhover.inference.base import Backend
from windhover.model.bundle import Bundle
from windhover.model.decode import Decoder
from windhover.model.input_checks import colour_warning
from windhover.model.manifest import DEFAULT_POINT, Thresholds
from windhover.model.nms import nms
from windhover.model.pictures import ModelInput, Picture, to_frame
from windhover.types import Detections, Frame, Tracks

if TYPE_CHECKING:
    from windhover.second_look.second_pass import SecondPass

_log = logging.getLogger(__name__)

# What each kind of bundle can't be given. A colour image for a thermal bundle
# is taken: thermal files are often stored as grey B, G, R. Four channels are not:
# whether the last one is thermal or alpha is not known.
_REFUSED = {
    "rgb": frozenset({"mono8", "mono16"}),
    "thermal": frozenset({"8UC4"}),
    "rgbt": frozenset({"mono8", "mono16", "bgr8", "rgb8"}),
}
_FOUR_CHANNELS = "; its fourth channel may be thermal or alpha"


@dataclass(frozen=True, slots=True)
class Timings:
    """Where one frame's time went, in nanoseconds of a monotonic clock.

    Attributes:
        pre_ns: channel conversion and letterbox.
        inference_ns: the backend's run.
        post_ns: decode, NMS and mapping to source pixels.
        second_look_ns: all of the second look.
    """

    pre_ns: int = 0
    inference_ns: int = 0
    post_ns: int = 0
    second_look_ns: int = 0

    @property
    def total_ns(self) -> int:
        """All of them together."""
        return self.pre_ns + self.inference_ns + self.post_ns + self.second_look_ns

    def by_stage(self) -> dict[str, int]:
        """By the names of :data:`windhover.health.latency.STAGES`, without what did not run."""
        stages = {
            "preprocess": self.pre_ns,
            "inference": self.inference_ns,
            "postprocess": self.post_ns,
        }
        return {**stages, "second_look": self.second_look_ns} if self.second_look_ns else stages


class Detector:
    """Finds a bundle's classes in single frames.

    ``Detector.open("thermal-n").detect("picture.png").to_dict()`` is all it takes. One
    instance serves one stream from one thread; frames of any size may follow
    one another.

    Args:
        bundle: a loaded bundle.
        backend: ``auto``, the name of a backend, or one that is open already.
        thresholds: to use in place of the bundle's own.
        operating_point: which of the bundle's own to use: ``balanced``, or ``quiet`` where the
            bundle has it.
        options: the backend's own options (see
            :func:`~windhover.inference.open_backend`).

    Raises:
        BackendError: the backend can't be opened.
        BundleError: the bundle's graph is not the one it declares.
        ConfigError: an option, the operating point or a label in ``thresholds`` is unknown.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend | str = "auto",
        *,
        thresholds: Thresholds | None = None,
        operating_point: str = DEFAULT_POINT,
        second_look: bool = True,
        **options: Any,
    ) -> None:
        self.bundle = bundle
        #: The second look, ``None`` where the bundle has none or it cannot run.
        self.second_pass: SecondPass | None = None
        #: Why a second look that the bundle has cannot run; "" where it can.
        self.second_look_problem = ""
        self.use_thresholds(thresholds or bundle.thresholds_at(operating_point))
        self._input = np.empty(bundle.input.shape, np.uint8)
        # Images with one channel have no channel axis on the way here.
        self._canvas = self._input[0, :, :, 0] if bundle.modality == "thermal" else self._input[0]
        self._letterbox = Letterbox(bundle.input.hw, bundle.input.hw)
        self._tone = ToneMapper(bundle.tone)
        self._timings = Timings()
        self._colour_reported = False
        self._picture_input: ModelInput | None = None
        choice = (
            choose_backend(bundle, backend, **options)
            if isinstance(backend, str)
            else Choice(backend, ())
        )
        self.backend = choice.backend
        if bundle.second_look is not None and second_look:
            name = choice.backend.name if isinstance(backend, str) else "cpu"
            known = BACKENDS[name].options if name in BACKENDS else frozenset[str]()
            self._open_second_look(name, {k: v for k, v in options.items() if k in known})
        #: Why ``auto`` did not take the backends that are faster.
        self.skipped_backends = choice.skipped_backends

    @classmethod
    def open(
        cls,
        model: str | os.PathLike[str],
        backend: str = "auto",
        *,
        thresholds: Thresholds | None = None,
        operating_point: str = DEFAULT_POINT,
        **options: Any,
    ) -> Detector:
        """Load a bundle by path or name and open a backend for it.

        Raises:
            BundleError: the bundle is missing or damaged.
            BackendError: the backend can't be opened.
            ConfigError: an option, the operating point or a label in ``thresholds`` is unknown.
        """
        return cls(
            Bundle.load(model),
            backend,
            thresholds=thresholds,
            operating_point=operating_point,
            **options,
        )

    def use_thresholds(self, thresholds: Thresholds) -> None:
        """Cut detections by other thresholds from the next frame on.

        Raises:
            ConfigError: a label in ``thresholds`` is unknown.
        """
        bundle = self.bundle
        unknown = sorted(set(thresholds.per_class) - set(bundle.labels))
        if unknown:
            raise ConfigError(
                f"per-class thresholds name {', '.join(unknown)}; "
                f"{bundle.name} has {', '.join(bundle.labels)}"
            )
        self.thresholds = thresholds
        self._decoder = Decoder(bundle, thresholds.score_vector(bundle.labels))
        if self.second_pass is not None:
            self.second_pass.use_limits(thresholds.iou, thresholds.max_detections)

    @property
    def labels(self) -> tuple[str, ...]:
        """What ``class_ids`` index."""
        return self.bundle.labels

    def facts(self) -> dict[str, str]:
        """What runs here, for diagnostics and reports."""
        bundle = self.bundle
        return {
            "model": f"{bundle.name} {bundle.version}",
            "model_hash": bundle.digest,
            "model_signature": bundle.signature,
            "backend": self.backend.name,
            "device": self.backend.device,
            "backends_passed_over": "; ".join(self.skipped_backends) or "none",
        }

    @property
    def timings(self) -> Timings:
        """Of the last :meth:`detect`; zeros before the first."""
        return self._timings

    def detect(self, frame: Picture, encoding: str | None = None) -> Detections:
        """Detect in one frame.

        Args:
            frame: any size: a :class:`~windhover.types.Frame`, the path of an image file,
                or an array as OpenCV reads it (colour is B, G, R; see
                :func:`~windhover.model.pictures.to_frame`). Of a thermal bundle a frame is
                ``mono8``, ``mono16`` (tone mapped here by the bundle's curve), or colour,
                which is made grey, with a warning in the log at the first picture that is
                not grey already; of an RGB bundle ``bgr8``, ``rgb8`` or ``8UC4``; of an RGBT
                bundle ``8UC4``. A file or an array of one camera suits an RGBT bundle too:
                the other camera's part is blank.
            encoding: of an array, where its shape and type do not say it, such as ``rgb8``.

        Returns:
            Boxes in source pixels, sub-pixel and unclipped, best score first, with the
            bundle's class names as ``labels``.

        Raises:
            ConfigError: the frame's encoding does not suit the bundle.
            SourceError: the file can't be read.
            EncodingError: the frame's image does not match its encoding.
            BackendError: the run failed, or its outputs are not the bundle's.
        """
        if not isinstance(frame, Frame) or encoding is not None:
            frame = self._input_picture(to_frame(frame, self.bundle.modality, encoding))
        started = time.perf_counter_ns()
        self._fill_input(frame)
        filled = time.perf_counter_ns()
        outputs = self.backend.run(self._input)
        ran = time.perf_counter_ns()
        found = self._decoder.decode(outputs)
        limits = self.thresholds
        keep = nms(found.boxes, found.scores, found.class_ids, limits.iou, limits.max_detections)
        boxes = self._letterbox.to_source(found.boxes[keep])
        result = Detections(
            boxes, found.scores[keep], found.class_ids[keep], labels=self.bundle.labels
        )
        decoded = time.perf_counter_ns()
        looked_ns = 0
        if self.second_pass is not None:
            result = self.second_pass.add_to(frame, result)
            looked_ns = time.perf_counter_ns() - decoded
        self._timings = Timings(filled - started, ran - filled, decoded - ran, looked_ns)
        return result

    def draw(
        self, frame: Picture, results: Detections | Tracks, encoding: str | None = None
    ) -> NDArray[np.uint8]:
        """Draw detections, or the tracks made of them, over a copy of their frame.

        Args:
            frame: what was detected in.
            results: boxes in its pixels.
            encoding: as :meth:`detect` takes it.

        Returns:
            ``(H, W, 3)`` uint8 B, G, R, ready for ``cv2.imwrite``.

        Raises:
            As :meth:`detect`, but for the backend's.
        """
        return draw_results(
            to_frame(frame, self.bundle.modality, encoding), results, self.bundle.labels
        )

    def close(self) -> None:
        """Release the backends; calling it twice is fine."""
        self.backend.close()
        if self.second_pass is not None:
            self.second_pass.close()

    def _open_second_look(self, backend: str, options: Mapping[str, Any]) -> None:
        """Open the bundle's second graph; without it the first look stands alone."""
        # Not at the top: what looks twice is made of the same parts as this module.
        from windhover.second_look.runner import SecondLook
        from windhover.second_look.second_pass import SecondPass

        bundle, limits = self.bundle, self.thresholds
        assert bundle.second_look is not None
        try:
            second = bundle.load_second_look()
            assert second is not None
            look = SecondLook(second, bundle.labels, backend, **options)
        except (BundleError, BackendError, ConfigError) as error:
            self.second_look_problem = str(error)
            _log.warning("%s looks once only: %s", bundle.name, error)
            return
        self.second_pass = SecondPass(
            look, bundle.second_look, bundle.labels, limits.iou, limits.max_detections
        )

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _input_picture(self, frame: Frame) -> Frame:
        """A single picture as the model takes it; it has no part in a video's smoothing."""
        self._tone.reset()
        if self._picture_input is None:
            self._picture_input = ModelInput(self.bundle)
        return self._picture_input.of(frame)

    def _fill_input(self, frame: Frame) -> None:
        channels = self.bundle.modality
        if frame.encoding in _REFUSED[channels]:
            why = _FOUR_CHANNELS if channels == "thermal" else ""
            raise ConfigError(
                f"model {self.bundle.name} is for {channels} images and {frame.frame_id} gives "
                f"{frame.encoding}{why}; choose another model or source"
            )
        if channels == "thermal" and not self._colour_reported:
            self._report_colour(frame)
        image = to_channels(
            frame.image, frame.encoding, channels, lambda y16: self._tone.apply(y16, frame.stamp_ns)
        )
        source_hw = (frame.height, frame.width)
        if source_hw != self._letterbox.source_hw:
            self._letterbox = Letterbox(source_hw, self.bundle.input.hw)
        self._letterbox.apply(image, out=self._canvas)

    def _report_colour(self, frame: Frame) -> None:
        if is_coloured(frame.image, frame.encoding):
            self._colour_reported = True
            _log.warning("%s", colour_warning(self.bundle.name, frame.frame_id))
