"""Figures for a paper: sizes, fonts, no traces left behind, and that every kind is drawn."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from odyssey.report.analysis.result import SEARCH, SEEDS, SINGLE, Analysis
from odyssey.report.figures import figures, mpl
from odyssey.report.figures.marks import Figure
from report_figures_kit import GREFF, build, places

LENGTHS = [f"{cell} bptt.length={n}" for cell in ("rnn", "gru") for n in (7, "null")]
SEARCHED = build(SEARCH, ["lstm", "gru", "rnn"], 24, trees=3, margin=0.1)


def drawn(analysis: Analysis) -> list[Figure]:
    return figures(analysis, run_index=places(analysis))


def texts(canvas: object) -> list[str]:
    from matplotlib.text import Text

    assert hasattr(canvas, "findobj")
    return [t.get_text() for t in canvas.findobj(Text) if t.get_text() and t.get_visible()]


@pytest.mark.slow
@pytest.mark.parametrize("figure", drawn(SEARCHED), ids=lambda figure: figure.key)
def test_figures_fit_a_paper(figure: Figure, tmp_path: Path) -> None:
    canvas = mpl.draw(figure)
    width, height = canvas.get_size_inches()
    assert width in (3.4, 7.0) and 0.5 < height < 8
    assert not canvas.get_suptitle() and all(ax.get_title() == "" for ax in canvas.axes)
    file = tmp_path / f"{figure.key}.pdf"
    canvas.savefig(file)
    content = file.read_bytes()
    assert b"/Type3" not in content and b"/FontFile2" in content  # TrueType, so letters stay
    assert b"CreationDate" not in content
    canvas.savefig(tmp_path / "figure.png", dpi=50)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    from matplotlib.text import Text

    sizes = {t.get_fontsize() for t in canvas.findobj(Text) if t.get_text()}
    assert min(sizes) >= 6 and max(sizes) <= 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "analysis",
    [
        build(SEEDS, LENGTHS, 3, diverged=0.2),
        build(SINGLE, ["gru", "mine"], better="higher"),
        build(SEARCH, ["gru"], 2, diverged=0, failed=0),
        build(SEEDS, ["$x_1", "a_b^c$", "<b>\\frac{1}{2}", "漢字", "x" * 60], 6, diverged=0.3),
    ],
    ids=["seeds", "single", "two trials", "hostile"],
)
@pytest.mark.filterwarnings("error")
def test_every_kind_is_drawn_without_a_warning(analysis: Analysis, tmp_path: Path) -> None:
    for figure in drawn(analysis):
        mpl.draw(figure).savefig(tmp_path / f"{figure.key}.png", dpi=40)


@pytest.mark.slow
def test_many_variants_have_a_frame_each() -> None:
    analysis = build(SEARCH, GREFF, 23, trees=1)
    found = {figure.key: figure for figure in drawn(analysis)}
    for key in ("learning", "tuning"):
        canvas = mpl.draw(found[key])
        assert [ax.get_title(loc="left") for ax in canvas.axes] == list(GREFF)
    top = texts(mpl.draw(found["top"]))
    assert "cifg" in top and "baseline" in top
    assert "nats per frame, test\nlower is better" in top


def test_a_pdf_is_the_same_each_time(tmp_path: Path) -> None:
    files = []
    for name in ("a.pdf", "b.pdf"):
        figure = next(f for f in drawn(SEARCHED) if f.key == "differences")
        mpl.draw(figure).savefig(tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    assert zlib.crc32(files[0]) == zlib.crc32(files[1])


@pytest.mark.slow
def test_nothing_of_matplotlib_is_left_changed_or_open() -> None:
    code = (
        "import sys, report_figures_kit as kit\n"
        "from odyssey.report.figures import figures\n"
        "made = figures(kit.build('seeds', ['gru', 'lstm'], 6), run_index={})\n"
        "assert not {'matplotlib', 'plotly', 'torch', 'hydra', 'sklearn'} & set(sys.modules)\n"
        "import matplotlib\n"
        "from odyssey.report.figures import mpl\n"
        "before = matplotlib.rcParams.copy()\n"
        "for figure in made: mpl.draw(figure).savefig(sys.argv[1])\n"
        "assert matplotlib.rcParams.copy() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'plotly' not in sys.modules\n"
    )
    here = Path(__file__).parent
    target = "/dev/null" if Path("/dev/null").exists() else "nul"
    run = [sys.executable, "-c", code.replace("sys.argv[1]", f"open({target!r}, 'wb')")]
    done = subprocess.run(run, cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
