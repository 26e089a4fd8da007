"""Colours: told apart by everyone, seen on both grounds, the same for a cell everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import random_kit
from odyssey.report.figures.marks import DASHES, SYMBOLS
from odyssey.report.palette import (
    CELLS,
    UNDECIDED,
    VERDICTS,
    colour_of,
    colour_of_verdict,
    dash_of,
    luminance,
    symbol_of,
    text_colour,
)
from report_figures_kit import GREFF

CONF = Path(__file__).parents[1] / "conf" / "cell"
PAGE = Path(__file__).parents[1] / "src" / "odyssey" / "report" / "page"

# Machado, Oliveira, Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency" (2009), table 1, severity 1.0: of linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
LABELS = ["gru bptt.length=10", "gru bptt.length=25", "gru bptt.length=null", "lstm", "gru"]


def oklab(colour: str, sight: str) -> np.ndarray:
    """Ottosson's OKLab (2020) of a colour as it is seen; distances of 0.02 are just noticed."""
    coded = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    red, green, blue = np.clip(SIGHT[sight] @ linear, 0, 1)
    long = np.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    medium = np.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = np.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    return np.array(
        [
            0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
            1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
            0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
        ]
    )


def nearest(names: tuple[str, ...], sight: str) -> float:
    seen = [oklab(colour_of(name), sight) for name in names]
    return min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))


def contrast(a: float, b: float) -> float:
    """WCAG 2, of two relative luminances."""
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)


def test_every_cell_has_an_entry() -> None:
    # A cell without an entry has a colour that follows from its name.
    assert set(CELLS) <= {file.stem for file in CONF.glob("*.yaml")} and len(CELLS) >= 24
    assert len({colour for colour, _, _ in CELLS.values()}) == len(CELLS)
    assert len({(symbol, dash) for _, symbol, dash in CELLS.values()}) == len(CELLS)


@pytest.mark.parametrize("sight", SIGHT)
def test_cells_are_told_apart(sight: str) -> None:
    normal = sight == "normal"
    assert nearest(GREFF, sight) >= (0.11 if normal else 0.068)
    assert nearest(("rnn", "gru", "lstm", "lstm_peephole"), sight) >= 0.18
    assert nearest(tuple(CELLS), sight) >= (0.07 if normal else 0.04)


def test_the_nine_differ_by_marker_too() -> None:
    assert len({symbol_of(name) for name in GREFF}) == len(GREFF)


@pytest.mark.parametrize("label", [*CELLS, *LABELS, "bptt.length=25", "my_cell"])
def test_colours_are_seen_on_white_and_on_dark(label: str) -> None:
    light = luminance(colour_of(label, LABELS))
    assert contrast(light, 1.0) >= 2.2
    assert contrast(light, luminance("#14161a")) >= 2.8


@pytest.mark.parametrize("word", [*VERDICTS, "no difference found"])
def test_verdicts_are_seen_and_told_apart(word: str) -> None:
    light = luminance(colour_of_verdict(word))
    assert contrast(light, 1.0) >= 3 and contrast(light, luminance("#14161a")) >= 3
    for sight in SIGHT:
        others = [*VERDICTS.values(), UNDECIDED]
        others.remove(colour_of_verdict(word))
        mine = oklab(colour_of_verdict(word), sight)
        assert min(np.linalg.norm(mine - oklab(o, sight)) for o in others) > 0.05, sight


def test_a_cell_has_its_colour_whatever_it_is_shown_with() -> None:
    for among in ((), ("gru",), ("gru", "lstm"), ("lstm bptt.length=5", "gru"), tuple(CELLS)):
        assert colour_of("gru", among) == CELLS["gru"][0]
        assert (symbol_of("gru", among), dash_of("gru", among)) == CELLS["gru"][1:]


def test_settings_of_a_cell_are_shades_of_its_colour() -> None:
    among = [f"gru bptt.length={n}" for n in (5, 10, 25, 50, 100)]
    shades = [colour_of(label, among) for label in among]
    light = [luminance(shade) for shade in shades]
    assert light == sorted(light) and len(set(shades)) == 5
    red, green, blue = (int(CELLS["gru"][0][i : i + 2], 16) for i in (1, 3, 5))
    assert red < green < blue
    for shade in shades:
        assert int(shade[1:3], 16) < int(shade[3:5], 16) < int(shade[5:7], 16)
    assert len({symbol_of(label, among) for label in among}) == 5
    # Beside other cells the shades stay the same.
    assert [colour_of(label, [*among, "lstm"]) for label in among] == shades


def test_labels_of_no_cell_differ() -> None:
    for among in (
        [f"bptt.length={n}" for n in range(20)],
        [f"my_cell_{n}" for n in range(21)] + ["gru", "lstm", "rnn"],
        ["a=1 b=2", "a=1 b=3", "x", "y z", "<b>&$"],
    ):
        assert len({colour_of(label, among) for label in among}) == len(among)
        assert {symbol_of(label, among) for label in among} <= set(SYMBOLS)
        assert {dash_of(label, among) for label in among} <= set(DASHES)


def test_more_labels_than_colours_still_have_one_each() -> None:
    among = [f"cell{n}" for n in range(61)]
    colours = [colour_of(label, among) for label in among]
    assert len(set(colours)) == len(CELLS)


def test_a_label_has_the_same_colour_in_every_process() -> None:
    code = "from odyssey.report.palette import *; print(colour_of('mine'), symbol_of('gru a=1'))"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == [colour_of("mine"), symbol_of("gru a=1")]


def test_text_in_a_colour_can_be_read_on_white() -> None:
    random = random_kit.rng()
    colours = [colour for colour, *_ in CELLS.values()] + list(VERDICTS.values()) + [UNDECIDED]
    colours += ["#" + "".join(f"{v:02x}" for v in row) for row in random.integers(0, 256, (200, 3))]
    for colour in colours:
        found = text_colour(colour)
        assert contrast(luminance(found), 1.0) >= 4.5
        assert found == colour or contrast(luminance(colour), 1.0) < 4.52


def test_the_page_s_words_can_be_read_on_its_grounds() -> None:
    """Every colour of text, light and dark, on the page's two grounds."""
    css = (PAGE / "styles" / "base.css").read_text()
    for block in re.findall(r":root(?:\.dark)? \{(.*?)\}", css, re.DOTALL):
        values = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
        for ground in ("paper", "wash", "raise"):
            for text in ("ink", "soft", "faint", "accent", "better", "worse", "same", "warn"):
                found = contrast(luminance(values[text]), luminance(values[ground]))
                assert found >= 4.5, (text, ground, found)
