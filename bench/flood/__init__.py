"""Memory under a flood: bare Fast DDS (``flood.cpp``), and a detector in its own process."""
