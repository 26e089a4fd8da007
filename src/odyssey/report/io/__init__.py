"""Reading runs from folders and from W&B, and writing tables for other programs."""
