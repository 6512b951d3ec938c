"""Statistics and plots of a data set."""
