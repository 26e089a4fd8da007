"""How the studies of a report were run: commands, data, settings, versions and hardware."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from odyssey.report.io.runs import Collection, ReportRun, ReportStudy
from odyssey.study.formatting import duration, several

UNFINISHED = ("missing", "interrupted", "running", "failed", "damaged")  # states
MOST_LISTED = 20  # runs of a study


def provenance(collection: Collection) -> list[dict[str, Any]]:
    """Sections for the page: {"title", "kind": "code" | "table" | "list", "content"}."""
    sections = [
        _commands(collection.studies),
        _data(collection.runs),
        _settings(collection.studies),
        _software(collection.runs),
        _hardware(collection.runs),
        _unfinished(collection),
        _unreadable(collection.studies),
    ]
    return [section for section in sections if section]


def _section(title: str, kind: str, content: Any) -> dict[str, Any]:
    """Empty without content."""
    return {"title": title, "kind": kind, "content": content} if content else {}


def _table(title: str, columns: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    return _section(title, "table", {"columns": columns, "rows": rows} if rows else None)


def _commands(studies: Sequence[ReportStudy]) -> dict[str, Any]:
    lines = []
    for study in studies:
        for entry in study.commands:
            command = str(entry.get("command", ""))
            if command:
                lines.append(f"# {study.name}, {entry.get('time', '')}\n{command}")
    return _section("Commands", "code", "\n".join(lines))


def _data(runs: Sequence[ReportRun]) -> dict[str, Any]:
    count = Counter((run.data, run.data_hash) for run in runs if run.data_hash)
    rows = [[name, digest, n] for (name, digest), n in count.most_common()]
    return _table("Data", ["data", "SHA-256", "runs"], rows)


def _settings(studies: Sequence[ReportStudy]) -> dict[str, Any]:
    rows: list[list[Any]] = []
    for study in studies:
        for key, values in study.compare.items():
            rows.append([study.name, "compared", key, ", ".join(map(_plain, values))])
        for key, described in study.space.items():
            text = " ".join(f"{k}={_plain(v)}" for k, v in described.items())
            rows.append([study.name, "searched", key, text])
        plan = {"trials": study.trials, "sampler": study.sampler, "draws": study.draws}
        for key, value in {**plan, "seed of the draws": study.seed}.items():
            if value not in (None, ""):
                rows.append([study.name, "plan", key, str(value)])
        for key, value in study.fixed.items():
            rows.append([study.name, "fixed", key, _plain(value)])
    return _table("Settings", ["study", "role", "setting", "value"], rows)


def _software(runs: Sequence[ReportRun]) -> dict[str, Any]:
    rows: list[list[Any]] = []
    for name in sorted({name for run in runs for name in run.versions}):
        rows += [[name, v, n] for v, n in _count(r.versions.get(name, "") for r in runs)]
    rows += [["code", digest, n] for digest, n in _count(r.code for r in runs)]
    rows += [["git commit", commit, n] for commit, n in _count(r.commit for r in runs)]
    return _table("Versions", ["what", "version", "runs"], rows)


def _hardware(runs: Sequence[ReportRun]) -> dict[str, Any]:
    rows: list[list[Any]] = [[device, n] for device, n in _count(run.device for run in runs)]
    seconds = [run.seconds for run in runs if run.seconds == run.seconds]
    if seconds:
        rows.append([f"all runs together: {duration(sum(seconds))} of training", len(seconds)])
    return _table("Hardware", ["device", "runs"], rows)


def _unfinished(collection: Collection) -> dict[str, Any]:
    lines = []
    for study in collection.studies:
        runs = [run for run in collection.runs if run.study == study.name]
        unfinished = [run for run in runs if run.state in UNFINISHED]
        count = Counter(run.state for run in unfinished)
        if unfinished:
            counts = ", ".join(f"{count[state]} {state}" for state in UNFINISHED if count[state])
            lines.append(f"{study.name}: of {several(study.planned or len(runs), 'run')}, {counts}")
        if study.to_come:
            lines.append(f"{study.name}: {several(study.to_come, 'trial')} not proposed yet")
        for run in unfinished[:MOST_LISTED]:
            lines.append(f"{run.name}: {run.state}" + (f", {run.error}" if run.error else ""))
    return _section("Missing, unfinished and failed runs", "list", lines)


def _unreadable(studies: Sequence[ReportStudy]) -> dict[str, Any]:
    notes = [note for study in studies for note in study.notes]
    return _section("Files that could not be read", "list", notes)


def _count(values: Iterable[str]) -> list[tuple[str, int]]:
    """Values that are not empty with how often they are there, the most frequent first."""
    return Counter(value for value in values if value).most_common()


def _plain(value: Any) -> str:
    return "null" if value is None else str(value)
