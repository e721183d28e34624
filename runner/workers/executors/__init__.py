"""Executors: run fits in this process, or in a pool of worker processes that survives the death of a worker."""
