"""From outcomes to scores with intervals, and the files of both."""
