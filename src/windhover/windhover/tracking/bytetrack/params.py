"""Settings of the tracker, with the trade-off of each.

Times are seconds and noises are per second, so one set of values serves every
frame rate. Lengths are box sizes (the square root of a box's area) or pixels.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ByteTrackParams(BaseModel):
    """Settings of :class:`~windhover.tracking.bytetrack.ByteTracker`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    high_score: float = Field(
        default=0.25,
        ge=0.0,
        le=1.0,
        description="Detections at or above this score are matched first and may continue any "
        "track. Lower: faint objects hold their id; higher: less clutter takes part.",
    )
    low_score: float = Field(
        default=0.1,
        ge=0.0,
        le=1.0,
        description="Detections between this score and high_score only continue tracks that were "
        "just seen. Lower: longer life through partial occlusion; higher: less drift onto clutter.",
    )
    new_track_score: float = Field(
        default=0.25,
        ge=0.0,
        le=1.0,
        description="A detection no track claims starts a track from this score on (high_score "
        "where that is higher). Lower: objects are reported sooner; higher: fewer false tracks.",
    )
    match_overlap: float = Field(
        default=0.1,
        ge=0.0,
        le=1.0,
        description="Least overlap (IoU, times the score if fuse_score) by which a confirmed track "
        "takes a high-score detection. Lower: holds on in fast motion; higher: fewer id swaps.",
    )
    low_match_overlap: float = Field(
        default=0.3,
        ge=0.0,
        le=1.0,
        description="Least overlap (IoU) by which a track takes a low-score detection. Lower: "
        "recovers more; higher: clutter pulls fewer tracks away.",
    )
    new_match_overlap: float = Field(
        default=0.15,
        ge=0.0,
        le=1.0,
        description="Least overlap (as match_overlap) by which a track that is not confirmed yet "
        "takes a detection. Lower: fast objects are confirmed; higher: fewer false tracks.",
    )
    fuse_score: bool = Field(
        default=True,
        description="Weigh overlap by detection score, so that of two boxes on one object the "
        "surer one wins. Off: overlap alone decides.",
    )
    class_aware: bool = Field(
        default=True,
        description="A track only takes detections of its own class. Off: any class, and a track "
        "reports the class that most of its detections voted for; for detectors that mix up "
        "classes, at the price of swaps between neighbours of different class.",
    )
    min_side_px: float = Field(
        default=24.0,
        ge=0.0,
        le=128.0,
        description="For overlap, boxes narrower or lower than this are widened to it about their "
        "centre. Higher: far, tiny objects survive jitter; lower: tiny neighbours mix less.",
    )
    class_change_overlap: float = Field(
        default=0.6,
        ge=0.0,
        le=1.0,
        description="Least overlap (IoU) by which a track that found nothing of its own class "
        "takes a sure detection of another; it still reports the class that most of its "
        "detections voted for. Lower: one id through frames in which the detector mixes up "
        "classes; higher: fewer swaps between neighbours; 1: never.",
    )
    camera_motion: bool = Field(
        default=True,
        description="Compensate the camera's motion: measured on the image where there is one, "
        "else from its attitude. On: fewer lost ids on a drone that turns, shakes or flies fast, "
        "and an abrupt change of scene ends all tracks; off: saves about 1 ms a frame.",
    )
    steady_share: float = Field(
        default=0.1,
        ge=0.0,
        le=1.0,
        description="Share of velocity_noise_px and initial_velocity_px that is left while the "
        "camera's motion is known. Lower: ids jump to neighbours less; higher: forgives a motion "
        "that was measured badly.",
    )
    lost_seconds: float = Field(
        default=3.0,
        ge=0.0,
        le=60.0,
        description="How long a confirmed track that is not seen is kept. Longer: the id survives "
        "longer occlusions; shorter: fewer ids jump to another object in the same place.",
    )
    refind_gate: float = Field(
        default=4.0,
        ge=0.0,
        le=10.0,
        description="How far from where it was expected, in standard deviations, an unseen track "
        "is found again although the boxes do not overlap. Higher: ids survive occlusions better; "
        "lower: fewer ids jump to another object; 0: by overlap alone.",
    )
    first_speed_gate: float = Field(
        default=90.0,
        ge=0.0,
        le=1000.0,
        description="Greatest speed, in longer sides of its box a second, at which a track that "
        "was detected once takes a detection that it does not overlap; one more detection must "
        "then confirm it. Higher: faster objects get a track; lower: fewer false tracks; 0: by "
        "overlap alone.",
    )
    first_distance_gate: float = Field(
        default=3.0,
        ge=0.0,
        le=20.0,
        description="Greatest distance of that detection, in longer sides of its box. Higher: "
        "fast objects get a track at low frame rates; lower: fewer false tracks in a crowd.",
    )
    recover_seconds: float = Field(
        default=1.0,
        ge=0.0,
        le=60.0,
        description="How long after it was last seen a track may still be continued by a low-score "
        "detection. Longer: better through dim spells; shorter: less drift onto clutter.",
    )
    confirm_hits: int = Field(
        default=2,
        ge=1,
        le=100,
        description="Detections a track needs before it is reported (those of the very first frame "
        "are reported at once). Lower: reported sooner; higher: fewer false tracks.",
    )
    confirm_seconds: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="Age a track needs before it is reported. Higher: clutter that flickers for a "
        "few fast frames stays out, and objects are reported later.",
    )
    tentative_seconds: float = Field(
        default=0.15,
        ge=0.0,
        le=10.0,
        description="How long a track that is not confirmed yet may go unseen; 0: not one frame. "
        "Longer: objects that are missed at times get confirmed; shorter: fewer false tracks.",
    )
    clock_jump_s: float = Field(
        default=3.0,
        gt=0.0,
        le=3600.0,
        description="A step of the stamps, forward or back, beyond this is a clock jump: all "
        "tracks end. Lower: no id lives on over a gap; higher: ids survive longer gaps.",
    )
    measurement_noise: float = Field(
        default=0.08,
        gt=0.0,
        le=1.0,
        description="Standard deviation of a detected box's edges, in box sizes. Higher: smoother "
        "boxes that lag; lower: boxes follow the detector's jitter.",
    )
    measurement_noise_px: float = Field(
        default=1.2,
        ge=0.0,
        le=20.0,
        description="The same in pixels, added on top: what matters for boxes of few pixels.",
    )
    position_noise: float = Field(
        default=0.15,
        ge=0.0,
        le=10.0,
        description="Wander of a position that its velocity does not explain: standard deviation "
        "after one second, in box sizes. Higher: follows jerks; lower: smoother.",
    )
    velocity_noise: float = Field(
        default=1.0,
        ge=0.0,
        le=50.0,
        description="How much a velocity may change in one second, in box sizes a second. Higher: "
        "follows turns; lower: predicts better through occlusions.",
    )
    velocity_noise_px: float = Field(
        default=20.0,
        ge=0.0,
        le=5000.0,
        description="The same in pixels a second, added on top: motion of the camera moves small "
        "boxes as much as large ones. Higher for a restless camera.",
    )
    initial_velocity: float = Field(
        default=1.9,
        ge=0.0,
        le=50.0,
        description="Standard deviation of the unknown velocity of a new track, in box sizes a "
        "second. Higher: fast objects are caught at once; lower: new tracks start steadier.",
    )
    initial_velocity_px: float = Field(
        default=50.0,
        ge=0.0,
        le=5000.0,
        description="The same in pixels a second, added on top, for the motion of the camera.",
    )
    velocity_memory_s: float = Field(
        default=8.0,
        gt=0.0,
        le=3600.0,
        description="Time in which the velocity of an unseen track decays to a third. Longer: "
        "straight motion is carried through an occlusion; shorter: predictions stay close by.",
    )
    size_memory_s: float = Field(
        default=0.25,
        gt=0.0,
        le=3600.0,
        description="The same for the rate at which a box grows or shrinks. Longer: fast climbs "
        "are followed; shorter: an unseen box keeps its size.",
    )
