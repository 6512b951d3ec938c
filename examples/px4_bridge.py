"""Altitude and attitude of a PX4 autopilot for Windhover, where MAVROS does not run.

    python3 px4_bridge.py [--ros-args -r /fmu/out/vehicle_attitude:=...]

Reads what PX4 publishes through uXRCE-DDS (px4_msgs, release/1.14 to 1.17; from 1.16 some
topics end in _v1: remap) and gives Windhover's inputs their usual names and frames. It
publishes nothing to the autopilot and must not. px4_msgs is not on PyPI: build it in your
workspace. Not run here against a PX4; its conversions are tested.
"""

import math

import rclpy
from geometry_msgs.msg import Quaternion
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Imu
from std_msgs.msg import Float64

HALF = math.sqrt(0.5)
Wxyz = tuple[float, float, float, float]


def times(a: Wxyz, b: Wxyz) -> Wxyz:
    """Hamilton product of two quaternions w, x, y, z."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


def enu_of_ned(q: Wxyz) -> Wxyz:
    """PX4's attitude (body FRD to NED) as ROS has it (body FLU to ENU, REP 103)."""
    return times(times((0.0, HALF, HALF, 0.0), q), (0.0, 1.0, 0.0, 0.0))


def height_m(z: float, z_valid: bool, bottom: float, bottom_valid: bool) -> float | None:
    """Metres above ground by the range sensor, else above the take-off point, else unknown."""
    if bottom_valid and math.isfinite(bottom):
        return bottom
    return -z if z_valid and math.isfinite(z) else None


class Px4Bridge(Node):
    """Two topics in, two out."""

    def __init__(self) -> None:
        super().__init__("px4_bridge")
        from px4_msgs.msg import VehicleAttitude, VehicleLocalPosition

        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._height = self.create_publisher(Float64, "mavros/global_position/rel_alt", newest)
        self._attitude = self.create_publisher(Imu, "mavros/imu/data", newest)
        self.create_subscription(
            VehicleLocalPosition, "/fmu/out/vehicle_local_position", self.on_position, newest
        )
        self.create_subscription(
            VehicleAttitude, "/fmu/out/vehicle_attitude", self.on_attitude, newest
        )

    def on_position(self, message: object) -> None:
        """Local position, NED."""
        height = height_m(
            message.z, message.z_valid, message.dist_bottom, message.dist_bottom_valid
        )
        if height is not None:
            self._height.publish(Float64(data=float(height)))

    def on_attitude(self, message: object) -> None:
        """Attitude; only the orientation of the Imu message is filled in."""
        w, x, y, z = enu_of_ned(tuple(float(part) for part in message.q))
        imu = Imu(orientation=Quaternion(w=w, x=x, y=y, z=z))
        imu.header.stamp = self.get_clock().now().to_msg()
        imu.header.frame_id = "base_link"
        imu.angular_velocity_covariance[0] = imu.linear_acceleration_covariance[0] = -1.0
        self._attitude.publish(imu)


def main() -> None:
    """Bridge until Ctrl-C or SIGTERM."""
    rclpy.init()
    try:
        node = Px4Bridge()
        # Not rclpy.spin: SIGTERM may wake it just before ROS is down, and then it waits for ever.
        while rclpy.ok():
            rclpy.spin_once(node, timeout_sec=1.0)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except ModuleNotFoundError:
        raise SystemExit("px4_msgs is not installed: build it in your workspace") from None
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
