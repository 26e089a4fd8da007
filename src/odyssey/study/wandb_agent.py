"""A study's command under `wandb agent`, which starts one command for each W&B run of a sweep.

W&B takes the agent's run for whatever run such a command begins, and its project for any other.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from odyssey.errors import UserError
from odyssey.study.search import search_of

if TYPE_CHECKING:
    from odyssey.study.plan import Plan
    from odyssey.study.records import StudyState

EXAMPLE = "docs/wandb_sweep_greff.yaml"


def present(plan: Plan) -> bool:
    """Whether an agent of W&B has started this command."""
    return plan.logger_mode != "disabled" and bool(os.environ.get("WANDB_SWEEP_ID"))


def check(plan: Plan) -> None:
    """Raises UserError where an agent's one W&B run would have to hold several runs."""
    if not present(plan):
        return
    count = (plan.settings.trials or 1) * len(plan.arms)
    if plan.trials:
        count = len({trial.run for trial in plan.trials})
    if count > 1:
        raise UserError(
            f"a command of `wandb agent` is one W&B run, and this one has {count:,} runs: give "
            "each its cell and its trial, as in cell=nig hydra.sweeper.only=17, or type "
            f"logger.mode=disabled; {EXAMPLE} is an example"
        )


def give_done(plan: Plan, state: StudyState, launched: Collection[str]) -> None:
    """Fill the agent's W&B run from the run's folder, where the run was done before."""
    if not present(plan) or launched:
        return
    from odyssey.training.wandb import mirror

    for name in {trial.run for trial in plan.trials}:
        run = state.runs[name]
        if run.state in ("finished", "diverged"):
            mirror(run.path, plan.logger_mode, search_of(run.path))
