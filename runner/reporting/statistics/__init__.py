"""From the table of fits to intervals, p-values, effects and ranks."""
