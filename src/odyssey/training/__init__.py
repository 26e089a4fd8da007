"""One run: schedule, optimizer, callbacks, checkpoints, record, W&B; `odyssey.training.train`."""
