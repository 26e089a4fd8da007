"""A W&B workspace view and a W&B report that compare the variants of a study."""
