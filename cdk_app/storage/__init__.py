"""What outlives a pipeline: buckets, catalogue, Athena."""
