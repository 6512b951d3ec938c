"""A model over pictures, videos and bags: annotated copies and labels, with no ROS."""
