"""What a mission's own node does with Windhover: listen, and know when not to believe.

    python3 mission_consumer.py [--ros-args -r __ns:=/drone1]

It prints each track once as it appears and once as it is gone, and says when the
picture is stale. It imports nothing of Windhover and publishes nothing: the suite
reports, and so does this. Not a part of the suite; copy it and go on from here.
"""

import time

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from vision_msgs.msg import Detection2DArray

GONE_AFTER_S = 2.0  # the tracker itself lets go of a track after this
LEVELS = ("OK", "WARN", "ERROR", "STALE")


class MissionConsumer(Node):
    """Keeps what is seen now, and whether it may be believed."""

    def __init__(self) -> None:
        super().__init__("mission_consumer")
        self.seen: dict[str, float] = {}
        self.level = "STALE"
        reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        latched = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self.create_subscription(Detection2DArray, "tracks", self.on_tracks, reliable)
        self.create_subscription(DiagnosticArray, "health", self.on_health, latched)
        self.create_subscription(Time, "heartbeat", self.on_beat, reliable)
        self.beat_at = time.monotonic()
        self.create_timer(0.25, self.look)

    def on_tracks(self, message: Detection2DArray) -> None:
        """Take in one image's tracks; an empty array means that nothing is seen."""
        now = time.monotonic()
        stamp = message.header.stamp
        for track in message.detections:
            best = track.results[0].hypothesis
            if track.id not in self.seen:
                centre = track.bbox.center.position
                print(
                    f"{stamp.sec}.{stamp.nanosec // 10**6:03d} track {track.id}: {best.class_id} "
                    f"{best.score:.2f} at {centre.x:.0f}, {centre.y:.0f} px "
                    f"in {message.header.frame_id}",
                    flush=True,
                )
            self.seen[track.id] = now
        for name in [name for name, at in self.seen.items() if now - at > GONE_AFTER_S]:
            print(f"track {name} is gone", flush=True)
            del self.seen[name]

    def on_health(self, message: DiagnosticArray) -> None:
        """The first entry is the whole."""
        whole = message.status[0]
        level = LEVELS[whole.level[0]]
        if level != self.level:
            print(f"perception is {level}: {whole.message}", flush=True)
            self.level = level

    def on_beat(self, _time: Time) -> None:
        """The process runs, and its stages can be brought back."""
        self.beat_at = time.monotonic()

    def look(self) -> None:
        """Without a heartbeat for a second, what was seen last is old news."""
        if time.monotonic() - self.beat_at > 1.0 and self.level != "STALE":
            print("perception is STALE: its heart does not beat", flush=True)
            self.level = "STALE"


def main() -> None:
    """Listen until Ctrl-C or SIGTERM."""
    rclpy.init()
    try:
        node = MissionConsumer()
        # Not rclpy.spin: SIGTERM may wake it just before ROS is down, and then it waits for ever.
        while rclpy.ok():
            rclpy.spin_once(node, timeout_sec=1.0)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
