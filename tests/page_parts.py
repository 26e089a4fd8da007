"""The parts of a made-up report: comparisons with their headlines, tables and figures."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

METRICS = [
    ("nats_per_frame", "nats per frame", "lower", 8.6),
    ("accuracy", "accuracy", "higher", 0.3),
]
WORDS = ["better", "same", "no difference found", "worse", "cannot tell"]
STUDIES = [
    ("music-jsb", "music on jsb"),
    ("music-nottingham", "music on nottingham"),
    ("charlm", "charlm on python"),
]
HASH = "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4"
HOW: list[dict[str, Any]] = [
    {
        "title": "Commands",
        "kind": "code",
        "content": "python train.py -m study=greff_jsb\npython scripts/report.py outputs/greff_jsb",
    },
    {"title": "Data", "kind": "table", "content": [["jsb", HASH], ["sequences", "229 / 76 / 77"]]},
    {"title": "Missing", "kind": "list", "content": ["3 trials of fgr.", "1 was interrupted."]},
    {"title": "Hardware", "kind": "text", "content": "2 cores, no accelerator; torch 2.13.0."},
]
METHODS = [
    {
        "name": f"Method {n}",
        "says": "How far apart the means of two groups are, and how unlikely that would be if "
        "both were drawn alike.",
        "cannot": "That two variants are the same: a large p is no evidence of equality.",
        "source": "Welch (1947), Biometrika 34, equation 3.",
    }
    for n in range(5)
]
Palette = Mapping[str, str]
Rows = Sequence[Sequence[Any]]


def comparison(
    number: int,
    palette: Palette,
    rows: Rows,
    where: Sequence[int | None],
    rng: random.Random,
) -> dict[str, Any]:
    mine = [i for i, place in enumerate(where) if place == number]
    apart = "3 runs of study b have another data hash (ab12cd34… instead of ef56ab78…)."
    return {
        "key": STUDIES[number][0],
        "title": STUDIES[number][1],
        "better_note": "validation chose the checkpoint",
        "facts": [
            ["task", "music"],
            ["data", "jsb, ac0e6085…"],
            ["runs", len(mine)],
            ["kind", "a random search, 200 trials a variant"],
        ],
        "notes": ["The chosen trials have different settings: they are no replicates."],
        "apart": [apart] if number == 0 else [],
        "metrics": [metric(m, palette, rows, mine, rng) for m in METRICS],
    }


def metric(
    what: tuple[str, str, str, float],
    palette: Palette,
    rows: Rows,
    mine: Sequence[int],
    rng: random.Random,
) -> dict[str, Any]:
    key, name, better, middle = what
    names = list(palette)
    shifts = sorted((rng.gauss(0, 0.1) for _ in names), reverse=better == "higher")
    words = ["baseline", *(WORDS[min(i, 8) * len(WORDS) // 9] for i in range(1, len(names)))]
    headline = [
        {
            "variant": v,
            "word": w,
            "colour": palette[v],
            "sentence": f"{s:+.2f} {name} against {names[0]}, 95% interval {s - 0.06:.2f} "
            f"to {s + 0.06:.2f}.",
        }
        for v, w, s in zip(names, words, shifts, strict=True)
    ]
    figures = [differences(name, palette, shifts)]
    figures += [boxes(key, name, palette, mine, rows) for key in ("top", "all")]
    figures += [scatter(axis, name, palette, mine, rows) for axis in ("optimizer.lr", "hidden")]
    return {
        "key": key,
        "name": name,
        "better": better,
        "part": "test",
        "headline": headline,
        "factors": {
            "name": f"{names[0]} × hidden units",
            "sentences": [[name, f"averaged over {name}: no difference found"] for name in names],
            "about": "By Student's t over seeds.",
        },
        "notes": [f"Diverged runs count as the worst {name} where ranks allow it."],
        "tables": [verdicts(names, words, shifts, middle, rng), states(names, rng)],
        "figures": figures,
    }


def verdicts(
    names: Sequence[str],
    words: Sequence[str],
    shifts: Sequence[float],
    middle: float,
    rng: random.Random,
) -> dict[str, Any]:
    columns = {"variant": "text", "verdict": "text", "n": "integer", "difference": "interval"}
    columns |= {"Welch p": "p", "Holm p": "p", "Hedges’ g": "interval"}
    columns |= {"better with": "share", "mean": "number"}
    rows = []
    for i, (variant, word, shift) in enumerate(zip(names, words, shifts, strict=True)):
        interval = {"value": shift, "low": shift - 0.06, "high": shift + 0.06}
        effect = {"value": 4 * shift, "low": 4 * shift - 0.5, "high": 4 * shift + 0.5}
        ps = [rng.random() ** 4, rng.random() ** 2]
        mean = {3: None, 5: "inf"}.get(i, middle + rng.random())
        rows.append([variant, word, 20, interval, *ps, effect, rng.random(), mean])
    return {
        "key": "verdicts",
        "title": "Verdicts",
        "columns": [{"name": n, "kind": k, "help": f"What {n} is."} for n, k in columns.items()],
        "rows": rows,
        "note": "No difference found does not say that there is none.",
    }


def states(names: Sequence[str], rng: random.Random) -> dict[str, Any]:
    kinds = {"variant": "text", "finished": "integer", "diverged": "integer"}
    return {
        "key": "states",
        "title": "Runs by state",
        "columns": [{"name": n, "kind": k, "help": ""} for n, k in kinds.items()],
        "rows": [[v, rng.randrange(100, 200), rng.choice([0, 3, 11, None])] for v in names],
        "note": "",
    }


def differences(name: str, palette: Palette, shifts: Sequence[float]) -> dict[str, Any]:
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [shift],
            "y": [variant],
            "name": variant,
            "marker": {"color": palette[variant], "size": 10},
            "error_x": {"type": "constant", "value": 0.06},
        }
        for variant, shift in zip(palette, shifts, strict=True)
    ]
    layout = {
        "height": 70 + 34 * len(palette),
        "showlegend": False,
        "xaxis": {"title": {"text": f"difference in {name}"}},
        "yaxis": {"autorange": "reversed"},
    }
    return {
        "key": "differences",
        "title": "Difference to the baseline",
        "caption": "Mean of the chosen trials minus the baseline's, with a 95% interval.",
        "wide": True,
        "traces": traces,
        "layout": layout,
    }


def boxes(key: str, name: str, palette: Palette, mine: Sequence[int], rows: Rows) -> dict[str, Any]:
    traces = []
    for variant, colour in palette.items():
        at = [i for i in mine if rows[i][1] == variant and isinstance(rows[i][4], float)]
        points = {"boxpoints": "all", "jitter": 0.5, "pointpos": 0}
        marker = {"color": colour, "size": 4}
        y = [rows[i][4] for i in at]
        box = {"type": "box", "name": variant, "y": y, "customdata": at, "marker": marker}
        traces.append(box | points)
    return {
        "key": key,
        "title": "The best tenth of the trials" if key == "top" else "All trials",
        "caption": "Every point is a run. Boxes: quartiles; whiskers: 1.5 times their distance.",
        "wide": True,
        "traces": traces,
        "layout": {"showlegend": False, "yaxis": {"title": {"text": f"{name}, valid"}}},
    }


def scatter(
    axis: str, name: str, palette: Palette, mine: Sequence[int], rows: Rows
) -> dict[str, Any]:
    traces = []
    for variant, colour in palette.items():
        at = [i for i in mine if rows[i][1] == variant]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": variant,
                "x": [rows[i][9 if axis == "optimizer.lr" else 10] for i in at],
                "y": [rows[i][4] for i in at],
                "customdata": [[i, variant] for i in at],
                "marker": {"color": colour, "size": 6, "opacity": 0.6},
                "hovertemplate": "%{x:.3g}<br><b>%{y:.4g}</b><extra>%{fullData.name}</extra>",
            }
        )
    return {
        "key": f"marginal-{axis}",
        "title": f"{name} against {axis}",
        "caption": "",
        "wide": False,
        "traces": traces,
        "layout": {
            "xaxis": {"title": {"text": axis}, "type": "log"},
            "yaxis": {"title": {"text": name}},
        },
    }
