"""The simulated business behind the example source."""
