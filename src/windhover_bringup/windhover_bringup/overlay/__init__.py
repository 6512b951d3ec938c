"""Drawing results over camera images."""
