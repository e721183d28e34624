"""What runs fits: groups of fits in, trained in this process or in others; their results out as they finish."""
