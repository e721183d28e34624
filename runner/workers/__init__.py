"""What runs a fit: groups of fits in, each trained in this process or another; their results out, in the order in which they finish."""
