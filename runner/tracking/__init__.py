"""Publishing: the plan and the journal's results in; MLflow runs out. One thread publishes, so training never waits."""
