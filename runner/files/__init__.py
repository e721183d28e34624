"""Files on disk, whatever is in them: content in; whole files, stamps, hashes, YAML nodes out."""
