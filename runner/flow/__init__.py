"""The whole run of an experiment: a YAML file and options in; a journal, MLflow runs, a report and an Outcome out."""
