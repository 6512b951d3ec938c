#!/usr/bin/env bash
# The windhover command with ROS and the workspace sourced; it becomes process 1, so
# that signals reach it.
set -eo pipefail
# shellcheck disable=SC1091
source /opt/ros/jazzy/setup.bash
# shellcheck disable=SC1091
source /opt/windhover/install/setup.bash
exec /opt/windhover/install/lib/windhover_bringup/windhover "$@"
