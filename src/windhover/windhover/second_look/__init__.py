"""Looking twice: what people carry, in chips cut from the full-resolution frame.

A rifle at 40 m is 20 px long in a 1280x720 frame of 66 degrees and 60 px at 3840x2160. The
first look finds people in the reduced frame; the second runs a small graph on chips of one
metric scale around them. Which people it looks at in a frame is :mod:`.schedule`'s; how
evidence of many looks adds up, :mod:`.evidence`'s.
"""
