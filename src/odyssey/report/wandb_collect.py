"""A W&B project as the report reads it: its groups are the studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from odyssey.report.cache import Kept
from odyssey.report.curves import thinned
from odyssey.report.reading import number, table, text, whole
from odyssey.report.run_of import run_of
from odyssey.report.runs import Collection, Run, Study
from odyssey.report.wandb_runs import read_project
from odyssey.study.records import RunState


def collect_project(
    entity_project: str,
    group: str | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Collection:
    """The runs of a W&B project `entity/project`, or of one group (study) of it.

    W&B has no plan of a study: trials that never began are not known. Raises UserError where the
    project cannot be read.
    """
    notes: list[str] = []
    found = read_project(entity_project, group=group, progress=progress, notes=notes)
    return collection(found, notes)


def collection(records: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> Collection:
    """Of runs as `read_project` gives them."""
    studies: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        studies.setdefault(text(record.get("study")), []).append(record)
    made = Collection()
    for place, (name, members) in enumerate(studies.items()):
        search = next((s for r in members if (s := table(r.get("search")))), {})
        where = text(members[0].get("url")).rpartition("/runs/")[0]
        made.studies.append(_study(name, search, len(members), () if place else notes, where))
        made.runs += [_run(name, record) for record in members]
    return made


def _run(study: str, record: Mapping[str, Any]) -> Run:
    search = table(record.get("search"))
    name = text(record.get("name"))
    state = RunState(name, Path(name), str(record["status"]), dict(record))
    curves = {
        text(metric): thinned({number(s): number(v) for s, v in zip(*series, strict=True)})
        for metric, series in table(record.get("curves")).items()
    }
    kept = Kept(state, config=dict(table(record.get("config"))), curves=curves)
    row = {"arm": text(search.get("arm")), "trial": whole(search.get("trial")), "overrides": ""}
    run = run_of(study, kept, row if search else None, {}, True)
    return replace(run, path=text(record.get("url")), command="")


def _study(
    name: str, search: Mapping[str, Any], count: int, notes: Sequence[str], where: str
) -> Study:
    space = {text(k): dict(v) for k, v in table(search.get("space")).items() if table(v)}
    compare = {
        text(k): list(v) for k, v in table(search.get("compare")).items() if isinstance(v, list)
    }
    return Study(
        name=name,
        path=where,
        compare=compare,
        space=space,
        trials=whole(search.get("trials")),
        sampler=text(search.get("sampler")),
        draws=text(search.get("draws")),
        seed=whole(search.get("seed")),
        notes=(
            *notes,
            f"{name or 'runs of no study'}: read from W&B, which knows no trials that never began.",
        ),
        planned=count,
    )
