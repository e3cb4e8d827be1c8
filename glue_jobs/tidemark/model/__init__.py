"""What to move, and into which shape: the model, read from its folder."""
