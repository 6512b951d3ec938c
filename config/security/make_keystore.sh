#!/usr/bin/env bash
# Makes a keystore with an enclave for each process, and signs what policy.xml allows it.
# Needs ROS 2 Jazzy with ros-jazzy-sros2, sourced. Not run here: sros2 is not on PyPI.
#
#   config/security/make_keystore.sh ~/windhover_keys
#   export ROS_SECURITY_KEYSTORE=~/windhover_keys ROS_SECURITY_ENABLE=true
#   export ROS_SECURITY_STRATEGY=Enforce
#   windhover up --config qcs8550 --ros-args --enclave /windhover
#
# Keep the keystore's private/ folder off the drone: it signs new members.
set -euo pipefail
store=${1:?give a folder for the keystore}
here=$(cd "$(dirname "$0")" && pwd)
command -v ros2 > /dev/null || { echo "ros2 is not here: source /opt/ros/jazzy/setup.bash" >&2; exit 2; }
umask 077
[ -d "$store" ] || ros2 security create_keystore "$store"
while read -r enclave; do
  ros2 security create_enclave "$store" "$enclave"
  ros2 security create_permission "$store" "$enclave" "$here/policy.xml"
done < <(sed -n 's/.*<enclave path="\([^"]*\)".*/\1/p' "$here/policy.xml")
echo "made $store; set ROS_SECURITY_KEYSTORE to it"
