"""A made-up report of any size, and a browser to look at its page with."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import page_parts

VARIANTS = ["lstm_peephole", "niaf", "cifg", "np", "fgr", "nig", "nog", "nfg", "noaf"]
COLOURS = "#4477aa #ee7733 #228833 #aa3377 #66ccee #ccbb44 #888888 #cc3311 #9955bb".split()
COLUMNS = [
    ("name", "run", "text", True),
    ("variant", "variant", "text", True),
    ("state", "state", "text", True),
    ("trial", "trial", "integer", True),
    ("valid/nats_per_frame", "valid nats per frame", "number", True),
    ("test/nats_per_frame", "test nats per frame", "number", True),
    ("test/accuracy", "test accuracy", "number", False),
    ("params", "parameters", "integer", True),
    ("seconds", "seconds", "number", True),
    ("optimizer.lr", "optimizer.lr", "number", True),
    ("model.hidden_size", "model.hidden_size", "integer", True),
    ("device", "device", "text", False),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--no-first-run"]


def payload(
    runs: int,
    *,
    seed: int = 0,
    variants: Sequence[str] = VARIANTS,
    comparisons: int = 2,
    points: int = 40,
) -> dict[str, Any]:
    """A report as write_page takes it: plain, random, with empty cells and worst values."""
    rng = random.Random(seed)
    palette = dict(zip(variants, COLOURS * 9, strict=False))
    rows = [_row(i, variants, rng) for i in range(runs)]
    where = [
        None if rng.random() < 0.01 and runs > 50 else int(i >= 0.85 * runs and comparisons > 1)
        for i in range(runs)
    ]
    base = {f"trainer.setting_{n}": n for n in range(60)} | {"task": "music", "cell": variants[0]}
    error = "ValueError: out of paper\n  in step 3"
    return {
        "title": "Nine variants of the LSTM on JSB Chorales",
        "made": "2026-11-22T06:10:00+00:00",
        "version": "0.1.0",
        "comparisons": [
            page_parts.comparison(n, palette, rows, where, rng) for n in range(comparisons)
        ],
        "runs": {
            "columns": [
                dict(zip(("key", "name", "kind", "shown"), c, strict=True)) for c in COLUMNS
            ],
            "rows": rows,
            "comparison": where,
        },
        "details": {
            "base": [base for _ in range(comparisons)],
            "changed": [
                {"cell": r[1], "optimizer.lr": r[9], "model.hidden_size": r[10]} for r in rows
            ],
            "command": [f"python train.py cell={r[1]} optimizer.lr={r[9]:.4g}" for r in rows],
            "error": [error if r[2] == "failed" else "" for r in rows],
            "path": [f"outputs/greff_jsb/{r[0]}" for r in rows],
            "state": [r[2] for r in rows],
            "curves": [_curves(r[4], points, rng) for r in rows],
        },
        "palette": palette,
        "how": page_parts.HOW,
        "methods": page_parts.METHODS,
    }


def _row(index: int, variants: Sequence[str], rng: random.Random) -> list[Any]:
    """A run's cells in the order of COLUMNS."""
    place = index % len(variants)
    variant = variants[place]
    states = ["finished", "diverged", "failed", "missing"]
    state = rng.choices(states, [90, 6, 2, 2])[0]
    value = 8.3 + abs(rng.gauss(0.2, 0.4)) + 0.05 * place
    valid = {"finished": round(value, 6), "diverged": "inf"}.get(state)
    test = round(value + rng.gauss(0.1, 0.05), 6) if state == "finished" else valid
    accuracy = round(rng.random() / 3, 5) if state == "finished" else None
    name = f"{variant}-music-{rng.getrandbits(32):08x}"
    rate, units = 10 ** rng.uniform(-6, -2), rng.randrange(20, 200)
    params, seconds = 4 * units * (units + 90), round(rng.uniform(20, 900), 2)
    trial = index // len(variants)
    return [name, variant, state, trial, valid, test, accuracy, params, seconds, rate, units, "cpu"]


def _curves(value: Any, points: int, rng: random.Random) -> dict[str, Any]:
    if not isinstance(value, float):
        return {}
    steps = [100 * (n + 1) for n in range(points)]
    fall = [round(value + 3 * 0.9**n + rng.gauss(0, 0.03), 4) for n in range(points)]
    train = [round(0.9 * v, 4) for v in fall]
    return {"valid/nats_per_frame": [steps, fall], "train/loss": [steps, train]}


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless Chromium. To be closed with its test file: while it runs, asyncio.run cannot."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("there is no Chromium here to look at the page with")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, file: Path, address: str = "", **options: Any) -> Iterator[Any]:
    """The page, ready; it may have neither complained nor asked for anything but the file."""
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
    page = context.new_page()
    page.set_default_timeout(60_000)  # the machine may be busy
    complaints: list[str] = []
    requests: list[str] = []
    bad = ("error", "warning")
    page.on("console", lambda m: complaints.append(m.text) if m.type in bad else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri() + address)
    page.wait_for_selector("html[data-ready]")
    yield page
    page.wait_for_function("window.Plotly")
    context.close()
    assert complaints == []
    allowed = (file.as_uri(), "data:", "blob:")
    assert [url for url in requests if not url.startswith(allowed)] == []
