"""What a run's W&B config says of its study: the search that the run is a trial of."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odyssey.study.files import read_definition, read_text

KEPT = ("sweeper", "compare", "space", "trials", "sampler", "draws", "seed")  # of study.json


def search_of(run: Path) -> dict[str, Any] | None:
    """The search that a run belongs to: what is compared and searched, its trial and its arm.

    None where its study's folder has no plan, or not this run in it. A run that is several trials
    has the others' numbers as `also_trials`.
    """
    rows = _rows(run.parent / "trials.csv", run.name)
    definition, _ = read_definition(run.parent / "study.json")
    if not rows or not definition:
        return None
    (number, arm), *others = rows
    also = {"also_trials": [n for n, _ in others]} if others else {}
    return described(definition) | {"trial": number, "arm": arm} | also


def described(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The part of study.json that all its runs share and that is not in their configurations."""
    return {"name": definition.get("study"), **{key: definition.get(key) for key in KEPT}}


def _rows(plan: Path, name: str) -> list[tuple[int, str]]:
    """(trial, arm) of each row of trials.csv that names the run.

    Only these are parsed, since each of thousands of trials asks.
    """
    try:
        text, _ = read_text(plan)
    except (OSError, ValueError):
        return []
    found = []
    at = text.find(f",{name},")
    while at >= 0:
        start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
        line = text[start : end if end >= 0 else None]
        number, run, arm, *_ = [*next(csv.reader([line])), "", ""]
        if run == name and number.isascii() and number.isdigit():
            found.append((int(number), arm))
        at = text.find(f",{name},", start + len(line))
    return found
