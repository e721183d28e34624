"""Networks as data: layer records in; shapes, parameters, multiply-adds, receptive fields out."""
