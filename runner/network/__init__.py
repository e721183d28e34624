"""Networks as data: layer records in; shapes, parameters, MACs, receptive fields and initial values out."""
