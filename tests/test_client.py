"""The client of mission nodes against a running chain, and what it says when that ends."""

from functools import partial

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from tests.support.fixtures import wait_for
from windhover_bringup.runtime.composed import Pipeline
from windhover_bringup.runtime.config import Config
from windhover_client import HealthLevel, WindhoverClient
from windhover_ros.runner import spin_in_threads


def chain(bundle, folder):
    # However late this machine is, and whatever its temperature.
    return Pipeline(
        Config()
        .with_values("detector", model=str(bundle), deadline_s=0.0)
        .with_values("tracker", deadline_s=0.0)
        .with_values("thermal_camera", source=str(folder), loop=True, rate=0.5)
        .with_values("monitor", max_drop_share=1.0, silence_s=30.0, camera_silence_s=30.0)
        .with_values("monitor", warm_c=200.0, hot_c=200.0)
    )


def test_the_client_sees_tracks_labels_health_the_end_and_a_new_start(
    ros, blob_bundle, blob_folder
):
    heard = []
    with WindhoverClient(fresh_for_s=60.0, heartbeat_s=30.0) as client:
        client.on_tracks(heard.append)
        assert client.tracks is None
        assert client.health.level is HealthLevel.STALE
        assert client.next_tracks(timeout_s=0.01) is None
        sessions = []
        for _ in range(2):
            seen = set()
            pipeline = chain(blob_bundle, blob_folder)
            try:
                pipeline.start()
                with spin_in_threads(pipeline.nodes):
                    wait_for(partial(_both, client, seen), "a person and a vehicle")
                    wait_for(partial(_fresh, client), "health")
                    sessions.append(client.tracks.session)
            finally:
                pipeline.close()
        assert sessions[1] > sessions[0]
        assert set(client.labels) >= {"person", "vehicle"}
        assert client.wait_until_active(timeout_s=30.0)
        assert heard[-1] == client.tracks
        client._heartbeat_s = 1e-9  # the chain has ended: its heartbeat is old
        assert client.health.level is HealthLevel.STALE
        assert not client.is_fresh()


def _both(client, seen):
    update = client.next_tracks(timeout_s=0.5)
    if update is not None:
        seen |= {track.label for track in update.tracks}
    return {"person", "vehicle"} <= seen


def _fresh(client):
    return client.next_tracks(timeout_s=0.5) is not None and client.is_fresh()


def test_a_time_that_is_not_positive_is_refused(ros):
    with pytest.raises(ValueError, match="above 0"):
        WindhoverClient(fresh_for_s=0.0)
