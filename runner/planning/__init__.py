"""Before anything trains: an Experiment in; a Plan with every cell's cost, its fits with ids, and what changed since the last run, out."""
