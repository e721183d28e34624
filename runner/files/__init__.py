"""Files on disk, whatever is in them: paths and content in; whole files, stamps, hashes and YAML nodes with lines out."""
