#!/usr/bin/env bash
# Makes a keystore with an enclave for each process of windhover.policy.xml and signs what
# the policy allows it. Needs ROS 2 Jazzy with ros-jazzy-sros2, sourced.
#
#   config/sros2/keystore.sh ~/windhover_keystore [/drone1]
#
# The second word is the ROS namespace of the nodes, if they have one. ROS_DOMAIN_ID must be
# the drone's: permissions hold for one domain. Run it again to sign a changed policy.
# Keep private/ off the drone: who has it can sign himself any right.
set -euo pipefail
store=${1:?give a folder for the keystore}
namespace=${2:-/}
here=$(cd "$(dirname "$0")" && pwd)
if ! command -v ros2 > /dev/null; then
  echo "ros2 is not here: source /opt/ros/jazzy/setup.bash, and install ros-jazzy-sros2" >&2
  exit 2
fi
if ! [[ $namespace =~ ^/([A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*)?$ ]]; then
  echo "$namespace is no ROS namespace: give one as /drone1" >&2
  exit 2
fi
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed "s|<profile ns=\"/\"|<profile ns=\"$namespace\"|" "$here/windhover.policy.xml" \
  > "$work/windhover.policy.xml"
[ -f "$store/enclaves/governance.p7s" ] || ros2 security create_keystore "$store"
sed -n 's/.*<enclave path="\([^"]*\)".*/\1/p' "$work/windhover.policy.xml" |
  while read -r enclave; do
    [ -f "$store/enclaves$enclave/key.pem" ] ||
      ros2 security create_enclave "$store" "$enclave" < /dev/null
    ros2 security create_permission "$store" "$enclave" "$work/windhover.policy.xml" < /dev/null
  done
echo "$store is made for ROS domain ${ROS_DOMAIN_ID:-0} and namespace $namespace; take"
echo "$store/private off to a safe place, and set ROS_SECURITY_KEYSTORE=$store"
