"""Fits, one training each: what a worker needs to run one, its result, and which fits are trained together."""
