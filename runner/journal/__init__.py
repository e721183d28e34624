"""The append-only record of finished fits: results in, synced to disk; an index and pandas frames out."""
