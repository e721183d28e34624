"""Training. An engine takes groups of fits with their networks and data, and returns curves and predictions."""
