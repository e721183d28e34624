"""Training: groups of fits with their networks and data in; curves, predictions and what is worth looking at out."""
