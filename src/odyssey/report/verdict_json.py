"""The verdicts for programs: `--format json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from odyssey.report.payload import plain
from odyssey.report.result import Analysis, Comparison


def verdict_json(comparisons: Sequence[tuple[Comparison, Sequence[Analysis]]]) -> dict[str, Any]:
    """Every verdict with its numbers and what it rests on; numbers that JSON has not are null."""
    return {
        "comparisons": [
            {
                "title": c.title,
                "task": c.task,
                "data": {"name": c.data, "sha256": c.data_hash},
                "design": c.kind,
                "baseline": c.baseline,
                "studies": [study.name for study in c.studies],
                "notes": c.notes,
                "set_apart": c.apart,
                "not_read": [note for study in c.studies for note in study.notes],
                "metrics": [_analysis(a) for a in analyses],
            }
            for c, analyses in comparisons
        ]
    }


def _analysis(analysis: Analysis) -> dict[str, Any]:
    return {
        "metric": analysis.metric,
        "better": analysis.better,
        "part": analysis.part,
        "share_of_trials": analysis.share,
        "margin": analysis.margin,
        "alpha": analysis.alpha,
        "notes": analysis.notes,
        "variants": [
            {
                "variant": s.variant.label,
                "settings": dict(s.variant.settings),
                "counts": dict(s.counts),
                "compared": [o.run.name for o in s.chosen],
                "mean": plain(s.mean),
                "median": plain(s.median),
                "iqm": plain(s.iqm),
                "best": s.best.run.name if s.best else None,
            }
            for s in analysis.summaries
        ],
        "verdicts": [
            {key: plain(value) for key, value in asdict(v).items()} for v in analysis.verdicts
        ],
    }
