"""The experiment that broken inputs are edits of."""

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
