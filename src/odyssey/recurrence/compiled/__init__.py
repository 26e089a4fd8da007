"""Kernels derived from a cell's equations; the folder's README walks one cell through it."""

from odyssey.recurrence.compiled.dispatch import forward, reason_against, why_no_kernels

__all__ = ["forward", "reason_against", "why_no_kernels"]
