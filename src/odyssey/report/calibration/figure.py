"""The picture of the calibration: false words against the number of trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from odyssey.report.calibration.rates import Rate
from odyssey.report.calibration.tables import Row

KINDS = {
    "search, edge": "optimum at the edge",
    "search, valley": "optimum inside",
    "search, real A/A": "real trials, one cell",
}


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the searches of the part `null`: the paper's test and the page's, with their errors.

    Raises ValueError where there are none.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    found = {kind: _series(rows, kind) for kind in KINDS}
    if not any(found.values()):
        raise ValueError("there are no searches among the rows: the figure is of the part null")
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    styles = (("Welch and Holm, as in the paper", "#d55e00", "o"), ("the page", "#0072b2", "s"))
    for column, colour, marker in styles:
        for kind, dash in zip(KINDS, ("-", "--", ":"), strict=True):
            points = [(n, row.rates[column]) for n, row in found[kind]]
            axes.errorbar(
                [n for n, _ in points],
                [rate.value for _, rate in points],
                [_reach(rate) for _, rate in points],
                color=colour,
                linestyle=dash,
                marker=marker,
                markersize=5,
                capsize=2,
                label=f"{column}: {KINDS[kind]}",
            )
    axes.axhline(0.05, color="0.4", linewidth=1)
    promise = "what both promise: 0.05"
    axes.annotate(promise, (200, 0.05), (0, 6), textcoords="offset points", size=8, ha="right")
    axes.set_xscale("log")
    sizes = sorted({n for points in found.values() for n, _ in points})
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.minorticks_off()
    axes.set_ylim(0, 0.45)
    axes.set_xlabel("trials of each variant")
    axes.set_ylabel("studies with a false word")
    axes.set_title("Nine variants that do not differ", fontsize=10)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", fontsize=7)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _series(rows: Sequence[Row], kind: str) -> list[tuple[int, Row]]:
    """The rows `kind, N`, by N."""
    found = []
    for row in rows:
        name, _, n = row.name.rpartition(", ")
        if name == kind and n.isdigit():
            found.append((int(n), row))
    return sorted(found, key=lambda pair: pair[0])


def _reach(rate: Rate) -> float:
    return 2 * rate.error
