"""Fits on the nodes of a Ray cluster: the connection, what a node gets, the worker on it, and the executor."""
