"""Running fits: takes groups of fits, trains them in this process or in worker processes, and yields their results."""
