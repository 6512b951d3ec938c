"""ROS from wheels: set-up for machines that have Python but no ROS distribution.

``python3 -m embedded`` makes ``.venv``, installs the pinned wheels and the
packages of ``src/``, builds the message packages that have no wheel, and lays
the result out as a ROS prefix. Standard library only until the wheels are in.
"""
