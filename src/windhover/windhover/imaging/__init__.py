"""Pictures as arrays: pixel formats, letterbox, tone mapping, drawing, video files."""
