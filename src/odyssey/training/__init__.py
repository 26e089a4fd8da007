"""One run: windows, clipping, optimizers, checkpoints, provenance, `train(cfg)`."""
