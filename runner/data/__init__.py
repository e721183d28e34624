"""Labelled images: a data set's loader in; arrays that all workers map, and the splits of cross-validation, out."""
