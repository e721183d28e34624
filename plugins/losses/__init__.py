"""What fits make small: cross-entropy with label smoothing and class weights, and the focal loss."""
