"""Whether components keep their promises, tried before anything trains: a component in; what is wrong with it out.

`runner plan` tries the plugins' components that an experiment uses, `runner plugins --check` those of a plugin, and
`runner.testing` those of an author's tests. Built-in components are tried by our own tests instead.
"""
