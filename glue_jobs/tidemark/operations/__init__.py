"""What a person does with a pipeline: tick, status, reconcile, history, rebuild."""
