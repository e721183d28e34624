"""The append-only record of finished fits: results in, synced to disk; an index of them and pandas frames out."""
