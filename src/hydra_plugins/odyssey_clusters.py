"""Hydra's way in to clusters: what conf/hydra/launcher/{ray_cluster,slurm,slurm_local}.yaml name.

Each is the launcher of a Hydra plugin that comes with an extra, with its options, but one that lets
all trials come to their end whatever becomes of one of them. What they do is in
`odyssey.study.ray_cluster` and `odyssey.study.slurm`.

Hydra imports this file with every command; without an extra its launchers are not there.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hydra.core.utils import JobReturn

with suppress(ImportError):
    from hydra_plugins.hydra_ray_launcher.ray_launcher import RayLauncher

    class RayClusterLauncher(RayLauncher):
        """Each trial a task of a Ray cluster."""

        def launch(
            self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
        ) -> Sequence[JobReturn]:
            from odyssey.study import ray_cluster

            return ray_cluster.launch(self, job_overrides, initial_job_idx)


with suppress(ImportError):
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import (
        BaseSubmititLauncher,
        LocalLauncher,
        SlurmLauncher,
    )

    class _Queued(BaseSubmititLauncher):
        """Each trial a job; this object is what a job calls on its node."""

        def __call__(self, *args: Any, **kwargs: Any) -> JobReturn:
            from odyssey.study import nodes, slurm

            with slurm.signals_heeded():
                call = super().__call__
                return nodes.light(nodes.outlast(lambda: call(*args, **kwargs)))

        def launch(
            self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
        ) -> Sequence[JobReturn]:
            from odyssey.study import slurm

            return slurm.launch(self, job_overrides, initial_job_idx)

    class SlurmArrayLauncher(_Queued, SlurmLauncher):
        """The jobs are one array of Slurm's."""

    class SlurmLocalLauncher(_Queued, LocalLauncher):
        """The jobs are processes of this machine, all at once, to try the way without a cluster."""
