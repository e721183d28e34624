"""The built-in components. They load as any other plugin does and see `runner.api` only."""
