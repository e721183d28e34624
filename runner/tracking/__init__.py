"""Publishing: the journal's results and the plan in; MLflow runs out, by one writer and off the training path."""
