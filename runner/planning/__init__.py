"""Planning, before any training: an Experiment in; a Plan with the cost of every cell and the ids of its fits out.

It also reports what changed since the last run and estimates how long the fits will take.
"""
