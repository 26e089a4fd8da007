"""The backend `compiled`: kernels derived from a cell's equations.

The pipeline, each stage reading only those before it: `graph`, `tracing`, `autodiff`, `schedule`,
`buffers`, then the engines (`interpreter`, `c`, `triton`) and `autograd`, then `dispatch`. The
folder's README.md follows one cell through it.
"""

from odyssey.recurrence.compiled.dispatch import (
    engine_for,
    forward,
    plan_of,
    reason_against,
    why_no_kernels,
)

__all__ = ["engine_for", "forward", "plan_of", "reason_against", "why_no_kernels"]
