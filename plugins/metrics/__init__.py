"""What fits are measured by, beside accuracy and loss after every epoch."""
