"""What a mission's own node does with Windhover: listen, and know when not to trust it.

    python3 mission_consumer.py [--ros-args -r __ns:=/drone1]

Prints each track once when it appears and once when it is gone, and says when the results
are out of date. It publishes nothing: Windhover reports, and so does this. Copy it and
build on it.
"""

import rclpy
from rclpy.executors import ExternalShutdownException

from windhover_client import TracksUpdate, WindhoverClient

# As long as the tracker itself keeps a track that it does not see (its lost_seconds).
GONE_AFTER_S = 3.0


class MissionConsumer:
    """Keeps what is seen now, and whether it can be trusted.

    Args:
        client: connected to a running Windhover.
    """

    def __init__(self, client: WindhoverClient) -> None:
        self._client = client
        self._seen_ns: dict[int, int] = {}
        self._session = 1
        self._level = ""

    def step(self) -> None:
        """Wait for the next tracks, and print what changed."""
        update = self._client.next_tracks(timeout_s=0.25)
        if update is not None:
            self._take(update)
        health = self._client.health
        if health.level.name != self._level:
            print(f"perception is {health.level.name}: {health.message}", flush=True)
            self._level = health.level.name

    def _take(self, update: TracksUpdate) -> None:
        if update.session != self._session:
            # The tracker was restarted: its ids begin again.
            self._session = update.session
            self._seen_ns.clear()
        for track in update.tracks:
            if track.id not in self._seen_ns:
                x, y = track.box.center
                carried = f", carried by {track.carried_by}" if track.carried_by else ""
                print(
                    f"{update.stamp_ns / 1e9:.3f} track {track.id}: {track.label} "
                    f"{track.score:.2f} at {x:.0f}, {y:.0f} px in {update.frame_id}{carried}",
                    flush=True,
                )
            self._seen_ns[track.id] = update.stamp_ns
        # By the images' own time: a replay may be faster than the clock.
        oldest = update.stamp_ns - round(GONE_AFTER_S * 1e9)
        for track_id in [name for name, at in self._seen_ns.items() if at < oldest]:
            print(f"track {track_id} is gone", flush=True)
            del self._seen_ns[track_id]


def main() -> None:
    """Listen until Ctrl-C or SIGTERM."""
    rclpy.init()
    try:
        with WindhoverClient() as client:
            consumer = MissionConsumer(client)
            while rclpy.ok():
                consumer.step()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
