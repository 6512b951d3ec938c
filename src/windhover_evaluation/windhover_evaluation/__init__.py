"""Scores, reports and studies of what Windhover detects and tracks; imports no ROS."""
