"""The windhover command, the composed process, the recorder, launch files and configuration."""
