"""Detection scores against truth: COCO AP, operating points, confusion."""
