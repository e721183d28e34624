"""Networks as data: layer records in; shapes, parameters, multiply-adds and receptive fields out, without any engine."""
