"""Lifecycle node: images to vision_msgs/Detection2DArray through a model bundle."""
