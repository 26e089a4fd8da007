"""Where the trials of a study run: what Hydra launchers do."""
