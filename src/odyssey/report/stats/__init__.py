"""What the comparison rests on: pure functions on numpy arrays, each with its source."""
