import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from windhover.errors import ConfigError, SourceError
from windhover.model.bundle import Bundle
from windhover_bringup.runtime.cameras import (
    CAMERAS,
    CameraSetup,
    check_inputs,
    pairing_values,
    sources_of,
    with_common_start,
)
from windhover_bringup.runtime.config import Config
from windhover_bringup.runtime.plan import plan_run
from windhover_bringup.runtime.settings import settings_of
from windhover_sim.blob_bundle import build_blob_bundle


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return build_blob_bundle(
        tmp_path_factory.mktemp("models") / "both", height=64, width=64, channels="rgbt"
    )


@pytest.mark.parametrize(
    ("modality", "model", "cameras", "fed", "topic"),
    [
        ("auto", "blob", ("thermal",), "thermal", "camera/thermal/image_raw"),
        ("auto", "both", ("rgb", "thermal"), "rgbt", "rgbt/image"),
        ("rgb", "both", ("rgb",), "rgbt", "rgbt/image"),
        ("thermal", "both", ("thermal",), "rgbt", "rgbt/image"),
        ("rgb", "blob", ("rgb",), "rgb", "camera/rgb/image_raw"),
    ],
)
def test_cameras_are_those_that_the_model_is_for_or_the_config_names(
    blob_bundle, both, modality, model, cameras, fed, topic
):
    bundle = both if model == "both" else Bundle.load(blob_bundle)
    setup = CameraSetup.of(Config().with_values("bringup", modality=modality), bundle)
    assert (setup.cameras, setup.modality, setup.image_topic) == (cameras, fed, topic)
    assert setup.is_paired == (fed == "rgbt")


@pytest.mark.parametrize(
    ("source", "modality", "wanted"),
    [
        ("clip.mp4", "thermal", {"thermal": "clip.mp4"}),
        ("rgb=a b,thermal=gst:x,y ! z", "rgbt", {"rgb": "a b", "thermal": "gst:x,y ! z"}),
        ("thermal=v4l2:///dev/video2,rgb=c", "rgbt", {"rgb": "c", "thermal": "v4l2:///dev/video2"}),
        ("rgb=a,thermal=b", "thermal", {"thermal": "b"}),
        ("rgb=a?b=c", "rgb", {"rgb": "a?b=c"}),
        ("thermal=a,b", "thermal", {"thermal": "a,b"}),
        (
            "scene:demo?seed=3&camera=thermal",
            "rgbt",
            {"rgb": "scene:demo?seed=3", "thermal": "scene:demo?seed=3"},
        ),
        ("scene:", "rgbt", {"rgb": "scene:", "thermal": "scene:"}),
    ],
)
def test_what_each_camera_plays(source, modality, wanted):
    assert sources_of(source, CAMERAS[modality]) == wanted


def test_a_folder_of_two_cameras_and_a_bag_are_for_both(tmp_path):
    (tmp_path / "flight" / "rgb").mkdir(parents=True)
    (tmp_path / "flight" / "thermal").mkdir()
    assert sources_of(str(tmp_path / "flight"), CAMERAS["rgbt"]) == {
        "rgb": str(tmp_path / "flight" / "rgb"),
        "thermal": str(tmp_path / "flight" / "thermal"),
    }
    bag = tmp_path / "bag"
    bag.mkdir()
    (bag / "metadata.yaml").touch()
    assert sources_of(str(bag), CAMERAS["rgbt"]) == {"rgb": str(bag), "thermal": str(bag)}


def test_one_camera_for_a_model_of_two_is_refused(blob_folder):
    for one in ("v4l2:///dev/video0", str(blob_folder)):
        with pytest.raises(ConfigError, match="rgb=URI,thermal=URI"):
            sources_of(one, CAMERAS["rgbt"])


def test_a_source_for_the_other_camera_is_refused():
    with pytest.raises(ConfigError, match="nothing for the thermal camera"):
        sources_of("rgb=a", CAMERAS["thermal"])


@pytest.mark.parametrize("camera", ["rgb", "thermal"])
def test_a_model_for_both_runs_on_one_camera_that_is_named(rgbt_bundle, camera):
    config = settings_of(None, f"{camera}=scene:empty?frames=3", str(rgbt_bundle))
    plan = plan_run(config, None)
    assert plan.cameras == (f"{camera}_camera",)
    assert "pairing" in plan.consumers
    assert plan.config["pairing"]["cameras"] == [camera]
    assert plan.config["detector"]["image_topic"] == "rgbt/image"
    assert plan.config["monitor"]["watch"] == [
        f"{camera}_camera", "pairing", "detector", "tracker",
    ]  # fmt: skip


def test_the_pairing_node_knows_a_scene_and_the_models_tones(both):
    config = Config().with_values("rgb_camera", source="scene:demo?altitude=25&pitch=50")
    setup = CameraSetup(("rgb", "thermal"), "rgbt")
    values = pairing_values(config, both, setup)
    assert values["calibration"] == "scene:demo?altitude=25&pitch=50"
    assert (values["nominal_altitude_m"], values["camera_pitch_deg"]) == (25.0, 50.0)
    assert values["tone.method"] == both.tone.method
    given = config.with_values("pairing", calibration="mine.yaml")
    assert pairing_values(given, both, setup)["calibration"] == "mine.yaml"
    plain = pairing_values(Config().with_values("rgb_camera", source="a.mp4"), both, setup)
    assert "calibration" not in plain


def two_scenes(**rgb):
    return (
        Config()
        .with_values("rgb_camera", source="scene:empty?rate=30&duration=2", **rgb)
        .with_values("thermal_camera", source="scene:empty?rate=9&duration=2")
    )


def test_two_recorded_cameras_end_and_begin_together():
    config, lead = check_inputs(two_scenes(max_frames=10), CAMERAS["rgbt"])
    assert lead.length == 10
    assert lead.rate_hz == 30
    assert config["thermal_camera"]["max_frames"] == 3
    synchronised = with_common_start(config, CAMERAS["rgbt"], 77)
    assert (
        synchronised["rgb_camera"]["start_time_ns"]
        == synchronised["thermal_camera"]["start_time_ns"]
        == 77
    )
    assert "start_time_ns" not in with_common_start(config, CAMERAS["rgb"], 77)["rgb_camera"]


def test_a_missing_second_source_is_reported_before_anything_starts(tmp_path):
    with pytest.raises(ConfigError, match="no source for the thermal camera"):
        check_inputs(Config().with_values("rgb_camera", source="scene:empty"), CAMERAS["rgbt"])
    gone = Config().with_values("rgb_camera", source="scene:empty")
    gone = gone.with_values("thermal_camera", source=str(tmp_path / "gone"))
    with pytest.raises(SourceError, match="gone"):
        check_inputs(gone, CAMERAS["rgbt"])


def test_both_cameras_and_the_pairing_node_are_planned(rgbt_bundle):
    config = settings_of(None, "scene:empty?frames=3", str(rgbt_bundle))
    plan = plan_run(config, "/tmp/nowhere")
    assert plan.consumers == (
        "tracker", "detector", "overlay", "pairing", "recorder", "monitor",
    )  # fmt: skip
    assert plan.cameras == ("rgb_camera", "thermal_camera")
    assert plan.config["recorder"]["cameras"] == ["rgb", "thermal"]
    assert plan.config["detector"]["image_topic"] == "rgbt/image"
    assert plan.config["overlay"]["image_topic"] == "rgbt/image"
    assert plan.config["pairing"]["calibration"] == "scene:empty?frames=3"
    assert plan.config["monitor"]["watch"] == [
        "rgb_camera", "thermal_camera", "pairing", "detector", "tracker",
    ]  # fmt: skip
    assert set(plan.start_values()) == {"start_time_ns"}
    plan.config.validate()
