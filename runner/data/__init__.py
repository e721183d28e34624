"""Labelled images: a data set's loader in; files that all workers map into memory, and cross-validation splits, out."""
