"""Networks as data: layer records, the tree they form, its initial values and its exact analysis."""
