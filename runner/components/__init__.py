"""What plugins register: their records and hooks in; a catalog of components with bound parameters out."""
