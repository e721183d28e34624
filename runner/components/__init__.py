"""Plugins and what they register: hooks and records in; a catalog of components, with their parameters bound, out."""
