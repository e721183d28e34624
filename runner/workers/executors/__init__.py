"""Where fits run: in this process, or in a pool of processes that outlives a worker's death."""
