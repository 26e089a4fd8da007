"""How objects are shown in a notebook: short tables in HTML, and figures."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from odyssey.study.formatting import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 20  # of a table in a notebook; a frame shows the rest


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> str:
    """Rows as an HTML table, everything escaped; beyond MOST_ROWS their number is said."""
    lines = [f"<div><strong>{html.escape(title)}</strong></div>"] if title else []
    lines.append("<table><thead><tr>")
    lines += [f"<th>{html.escape(name)}</th>" for name in head]
    lines.append("</tr></thead><tbody>")
    for row in rows[:MOST_ROWS]:
        lines.append(f"<tr>{''.join(f'<td>{html.escape(text(v))}</td>' for v in row)}</tr>")
    lines.append("</tbody></table>")
    if len(rows) > MOST_ROWS:
        lines.append(f"<div>and {len(rows) - MOST_ROWS} more rows</div>")
    return "".join(lines)


def pairs(values: Mapping[str, Any], title: str = "") -> str:
    """A mapping as an HTML table of two columns."""
    return table(("", ""), list(values.items()), title)


def text(value: Any) -> str:
    """A value in a table: numbers to a few digits, nothing for what is not known."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return number(value) if isinstance(value, float) else str(value)


def new_figure() -> Figure:
    """An empty figure of matplotlib that a notebook shows, without pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class Shown(Figure):
        """A figure that shows itself where its object is the result of a cell."""

        def _repr_png_(self) -> bytes:
            out = io.BytesIO()
            self.savefig(out, format="png", dpi=100)
            return out.getvalue()

    figure = Shown()
    FigureCanvasAgg(figure)
    return figure
