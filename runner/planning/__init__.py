"""Before anything trains: an Experiment in; a Plan with every cell's cost, and its fits with ids, out.

It also says what changed since the last run, and how long the fits will take.
"""
