"""The valid experiment that the invalid inputs of the tests are derived from."""

BASE = """\
name: base
dataset: digits
architecture: {name: stages, width: 2}
augmentation: none
optimizer: {name: adam, lr: 1e-3}
training: {epochs: 1}
cross_validation: {folds: 2}
seed: 0
grid:
  augmentation: [none, shift]
"""
