"""Parameters of the detector node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from windhover.inference import BACKENDS
from windhover.model.manifest import DEFAULT_POINT
from windhover_detector.looking import SecondLookParams
from windhover_ros.drone import AltitudeParams, AttitudeParams
from windhover_ros.lifecycle import StageParams
from windhover_ros.params import read_only

if TYPE_CHECKING:
    BackendName = str
else:
    # Backends of other packages are choices too, so the parameter's values are not written here.
    BackendName = Literal[("auto", *BACKENDS)]


class DetectorParams(AltitudeParams, AttitudeParams, StageParams):
    """Parameters of the detector node."""

    model: str = read_only("thermal-n", description="model bundle: a folder, or a name in models/")
    public_key: str = read_only(
        "",
        description="file of an Ed25519 public key (PEM or 32 raw bytes): a bundle that is not "
        "signed with it is refused; empty = no signature is required",
    )
    backend: BackendName = read_only(
        "auto", description="what runs the graph; auto takes the fastest that works"
    )
    fallback_after: int = read_only(
        3,
        ge=0,
        le=1000,
        description="after so many failures of a backend within a minute take the next; 0 = never",
    )
    cpu_threads: int = read_only(
        0, ge=0, le=256, description="threads of the cpu backend; 0 = one a core"
    )
    operating_point: str = read_only(
        DEFAULT_POINT,
        description="which of the bundle's thresholds a class: balanced (near best F1), or quiet "
        "(few false alarms) where the bundle has it",
    )
    score_threshold: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="least score of a detection of any class; 0 = as operating_point says. Below "
        "the tracker's low_score nothing is gained",
    )
    clip_boxes: bool = read_only(
        False,
        description="clip the boxes of the topic to the image and leave out those outside; the "
        "tracker and a run's recording get them unclipped",
    )
    image_topic: str = read_only(
        "", description="images to detect in; empty = the camera that the bundle is for"
    )
    compressed: bool = read_only(
        False,
        description="take <image_topic>/compressed (JPEG, PNG, TIFF or WebP), as recordings have "
        "it",
    )
    deadline_s: float = read_only(
        0.5, ge=0.0, le=60.0, description="longest time between two detections; 0 = none offered"
    )
    altitude_min_m: float = Field(
        30.0, ge=0.0, le=1000.0, description="below this results are flagged, metres"
    )
    altitude_max_m: float = Field(
        50.0, ge=0.0, le=1000.0, description="above this results are flagged, metres"
    )
    second_look: SecondLookParams = read_only(SecondLookParams())
