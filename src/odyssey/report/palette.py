"""The colour, the marker and the dash of a variant: the same wherever a cell is shown.

Every cell of `conf/cell` has an entry of its own. The hues begin at those of Okabe & Ito (2008,
"Color Universal Design") and were moved apart so that any two differ for readers with normal
sight, with protanopia and with deuteranopia, and so that each stands out on white and on #14161a.
24 colours cannot all be far apart: marker and dash tell what colour alone does not.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

# name: colour, Plotly's name of the marker, Plotly's name of the dash.
CELLS = {
    # The nine of Greff et al., which are seen together: no two less than 0.069 apart (OKLab).
    "lstm_peephole": ("#026ea2", "circle", "solid"),
    "nig": ("#e4a11e", "square", "dash"),
    "nfg": ("#da570a", "diamond", "dot"),
    "nog": ("#03a285", "triangle-up", "dashdot"),
    "niaf": ("#d481b6", "triangle-down", "longdash"),
    "noaf": ("#27b7f4", "pentagon", "longdashdot"),
    "cifg": ("#9b3f6a", "star", "dash"),
    "np": ("#818450", "cross", "solid"),
    "fgr": ("#7a67d9", "x", "dot"),
    "rnn": ("#c9000c", "square", "longdash"),
    "gru": ("#759bff", "triangle-up", "dot"),
    "lstm": ("#86bd56", "diamond", "solid"),
    "lstm_layernorm": ("#b658bc", "circle", "dashdot"),
    "gru_reset_after": ("#95b5a8", "triangle-down", "dot"),
    "gru_simple": ("#4f8587", "pentagon", "dash"),
    "mgu": ("#ff5edb", "hexagon", "dash"),
    "janet": ("#f53a6e", "star", "dashdot"),
    "ugrnn": ("#3b56c7", "cross", "longdash"),
    "irnn": ("#d37e00", "x", "longdashdot"),
    "elman_relu": ("#596438", "circle", "dot"),
    "jordan": ("#25a9b9", "hexagon", "solid"),
    "mut1": ("#731efc", "diamond", "dash"),
    "mut2": ("#775688", "square", "dot"),
    "mut3": ("#a05cff", "triangle-up", "longdash"),
}
SYMBOLS = tuple(dict.fromkeys(symbol for _, symbol, _ in CELLS.values()))
DASHES = tuple(dict.fromkeys(dash for _, _, dash in CELLS.values()))
VERDICTS = {"better": "#22a41c", "same": "#4486e1", "worse": "#b0431c"}
UNDECIDED = "#808890"  # no difference found, cannot tell; the baseline
DARKEST, LIGHTEST = 0.125, 0.42  # relative luminance (WCAG 2) of what is seen on both grounds


def colour_of(name: str, among: Sequence[str] = ()) -> str:
    """`#rrggbb` of a variant's label: `cifg`, `gru 25`, `25 steps`.

    A cell has its own colour, and a cell with settings a shade of it. Other labels have one of the
    table's, chosen by the label alone. among: the labels that are shown together, in their order;
    with them shades are spread evenly and no two labels share a colour while there are others.
    """
    cell, _, settings = name.partition(" ")
    if cell in CELLS:
        base = CELLS[cell][0]
        return _shade(base, _among_shades(base, name, _family(cell, among))) if settings else base
    return list(CELLS.values())[_place(name, among)][0]


def symbol_of(name: str, among: Sequence[str] = ()) -> str:
    """The marker of a variant's label, as Plotly calls it; MARKERS has matplotlib's."""
    return SYMBOLS[_cue(name, among, 1, SYMBOLS)]


def dash_of(name: str, among: Sequence[str] = ()) -> str:
    """The dash of a variant's line, as Plotly calls it; LINES has matplotlib's."""
    return DASHES[_cue(name, among, 2, DASHES)]


def colour_of_verdict(word: str) -> str:
    """`#rrggbb` of `better` or `promising`, `same` or `worse`; grey for any other word."""
    return VERDICTS.get("better" if word == "promising" else word, UNDECIDED)


def _cue(name: str, among: Sequence[str], field: int, choices: Sequence[str]) -> int:
    """The place among `choices`: the cell's own, moved on for each shade of it."""
    cell, _, settings = name.partition(" ")
    if cell not in CELLS:
        return choices.index(list(CELLS.values())[_place(name, among)][field])
    family = _family(cell, among)
    # The cell without settings, if it is there, keeps its own.
    family = [label for label in family if label == cell] + [x for x in family if x != cell]
    on = family.index(name) if name in family else _hash(settings) if settings else 0
    return (choices.index(CELLS[cell][field]) + on) % len(choices)


def _family(cell: str, among: Sequence[str]) -> list[str]:
    """The labels of one cell, in their order."""
    return [label for label in among if label.partition(" ")[0] == cell]


def _among_shades(base: str, name: str, family: Sequence[str]) -> float:
    """How light a cell with settings is, 0 to 1; the cell without any has its own colour."""
    settled = [label for label in family if " " in label]
    if name not in settled:
        return _hash(name) % 5 / 4
    if len(settled) > 1:
        return settled.index(name) / (len(settled) - 1)
    # The far end from the cell's own colour.
    return float(luminance(base) < math.sqrt(DARKEST * LIGHTEST))


def _place(name: str, among: Sequence[str]) -> int:
    """The entry of the table for a label that has no cell in it, or a cell of the user's own."""
    taken = {list(CELLS).index(c) for c in {a.partition(" ")[0] for a in among} if c in CELLS}
    for label in [*(a for a in among if a.partition(" ")[0] not in CELLS), name]:
        # Settings of one cell are as few as the table's first, which are the furthest apart.
        settings = "=" in label or " " in label
        place = 0 if among and settings else _hash(label) % len(CELLS)
        if len(taken) < len(CELLS):
            while place in taken:
                place = (place + 1) % len(CELLS)
        taken.add(place)
        if label == name:
            return place
    raise AssertionError(name)  # the name itself ends the loop


def _hash(text: str) -> int:
    """A number that is the same in every process, unlike `hash`."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _shade(colour: str, at: float) -> str:
    """The colour from its darkest (at 0) to its lightest (at 1) that is seen on both grounds."""
    wanted = math.exp(math.log(DARKEST) * (1 - at) + math.log(LIGHTEST) * at)
    linear = [_linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5)]
    now = luminance(colour)
    if wanted <= now:
        linear = [c * wanted / now for c in linear]
    else:  # towards white
        share = (wanted - now) / (1 - now)
        linear = [c + (1 - c) * share for c in linear]
    return "#" + "".join(f"{round(255 * _coded(c)):02x}" for c in linear)


def text_colour(colour: str) -> str:
    """The colour, or as much darker that it has a contrast of 4.5 on white (WCAG 2, level AA)."""
    most = 1.05 / 4.5 - 0.05 - 0.002  # less what rounding may add
    if (now := luminance(colour)) <= most:
        return colour
    linear = [_linear(int(colour[i : i + 2], 16) / 255) * most / now for i in (1, 3, 5)]
    return "#" + "".join(f"{round(255 * _coded(c)):02x}" for c in linear)


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, 0 to 1 (WCAG 2)."""
    red, green, blue = (_linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(coded: float) -> float:
    """sRGB (IEC 61966-2-1) to light."""
    return coded / 12.92 if coded <= 0.04045 else ((coded + 0.055) / 1.055) ** 2.4


def _coded(linear: float) -> float:
    return linear * 12.92 if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
