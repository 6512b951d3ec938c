import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from windhover.errors import ConfigError, SourceError
from windhover_bringup.runtime.config import Config
from windhover_bringup.runtime.plan import NODE_MODULES, RestartPolicy, executable_of, plan_run


def config_of(blob_bundle, source):
    return (
        Config()
        .with_values("detector", model=str(blob_bundle))
        .with_values("thermal_camera", source=str(source))
    )


def test_the_camera_comes_last_and_ends_with_its_source(blob_bundle, blob_folder, tmp_path):
    plan = plan_run(config_of(blob_bundle, blob_folder), tmp_path / "out")
    assert plan.consumers == ("tracker", "detector", "overlay", "recorder", "monitor")
    assert plan.cameras == ("thermal_camera",)
    assert plan.frames == 30
    assert plan.config["thermal_camera"]["end_process"] is True
    assert plan.config["recorder"]["path"] == str(tmp_path / "out" / "bag")


def test_without_out_overlay_and_monitor_nothing_records_or_draws(blob_bundle, blob_folder):
    config = config_of(blob_bundle, blob_folder)
    config = config.with_values("bringup", overlay=False, monitor=False)
    assert plan_run(config, None).consumers == ("tracker", "detector")


def test_a_source_that_is_not_there_is_reported_before_anything_starts(blob_bundle, tmp_path):
    with pytest.raises(SourceError, match="nowhere"):
        plan_run(config_of(blob_bundle, tmp_path / "nowhere"), None)


def test_no_frame_lost_is_not_promised_between_processes(blob_bundle, blob_folder):
    config = config_of(blob_bundle, blob_folder).with_values("thermal_camera", rate=0.0)
    with pytest.raises(ConfigError, match="run all nodes in one process"):
        plan_run(config, None)


def test_an_earlier_runs_files_are_left_alone(blob_bundle, blob_folder, tmp_path):
    (tmp_path / "metrics.json").touch()
    (tmp_path / "bag_1").mkdir()
    plan = plan_run(config_of(blob_bundle, blob_folder), tmp_path)
    assert plan.metrics_file == "metrics_2.json"
    assert plan.config["recorder"]["path"] == str(tmp_path / "bag_2")


def test_every_program_is_of_the_package_that_holds_it():
    assert {executable_of(node) for node in NODE_MODULES} >= {
        ("windhover_cameras", "thermal_camera"),
        ("windhover_bringup", "recorder"),
    }


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_a_first_crash_is_followed_by_a_new_start_at_once_and_further_ones_wait_longer():
    restart = RestartPolicy(clock=Clock())
    assert [restart.delay_after(-9) for _ in range(5)] == [0.0, 0.2, 0.4, 0.8, 1.6]


def test_too_many_crashes_end_it_and_an_old_one_is_forgotten():
    clock = Clock()
    restart = RestartPolicy(clock=clock)
    for _ in range(5):
        restart.delay_after(-9)
    delay_s = restart.delay_after(-9)
    assert delay_s is None
    assert "for the 6th time in 60 s" in restart.describe(-9, delay_s)
    clock.now += 61
    assert restart.delay_after(-9) == 0.0


@pytest.mark.parametrize("status", [0, 2])
def test_a_good_end_or_a_wrong_input_is_not_tried_again(status):
    assert RestartPolicy().delay_after(status) is None


def test_where_it_is_not_wanted_it_is_not_done():
    restart = RestartPolicy(enabled=False)
    assert restart.delay_after(-9) is None
    assert restart.describe(-9, None) == "ended with status -9; see its message above"
