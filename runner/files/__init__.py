"""Files on disk, whatever they hold: content in; complete files, stamps, hashes and YAML nodes out."""
