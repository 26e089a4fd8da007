"""`Evaluation`: a model's metrics on data, with tables by document and by class."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.api import show
from odyssey.errors import UserError
from odyssey.io import reason, write_text

if TYPE_CHECKING:
    import pandas as pd

    from odyssey.tasks.base import Other, Task
    from odyssey.training.tables import Tables

MANY_UNKNOWN = 0.2  # a share above which metrics say little of the text
FOLDER = "evaluations"  # in that of the run


@dataclass
class Table:
    """Rows under a head, as they are written to a CSV file."""

    head: Sequence[str]
    rows: list[Sequence[Any]] = field(default_factory=list)

    def csv(self) -> str:
        """The table as CSV."""
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\n").writerows([self.head, *self.rows])
        return out.getvalue()

    def frame(self) -> pd.DataFrame:
        """The table as a frame of pandas."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(self.head))


class Evaluation(dict[str, float]):
    """The metrics by their names, with more beside them.

    Attributes
    ----------
    run, part : str
        The run's name, and the part of the data; "" where `data` is a single file.
    data : dict
        Name and SHA-256 of the data.
    symbols, unknown : int
        Of other data, how many symbols were read, and how many of them the run's vocabulary lacks.
    notes : list of str
        How the data were understood.
    """

    def __init__(self, metrics: Mapping[str, float], run: str, part: str, data: Any) -> None:
        super().__init__(metrics)
        self.run, self.part, self.data = run, part, dict(data)
        self.symbols = self.unknown = 0
        self.notes: list[str] = []
        self._documents = Table(())
        self._classes: Table | None = None
        self._confusion: Table | None = None

    @property
    def documents(self) -> pd.DataFrame:
        """A row for each document or sequence, with the metrics of it alone."""
        return self._documents.frame()

    @property
    def classes(self) -> pd.DataFrame | None:
        """Of each class the number of sequences, precision, recall and F1; None of other tasks.

        nan where a class is not in the data, or is never predicted.
        """
        return None if self._classes is None else self._classes.frame()

    @property
    def confusion(self) -> pd.DataFrame | None:
        """How many sequences of a class (row) were taken for which (column)."""
        if self._confusion is None:
            return None
        frame = self._confusion.frame()
        return frame.set_index(frame.columns[0])

    @property
    def unknown_share(self) -> float:
        """The share of symbols that the vocabulary lacks; nan without any."""
        return self.unknown / self.symbols if self.symbols else math.nan

    def warnings(self) -> list[str]:
        """A sentence for each reason not to take the metrics at their word."""
        if not self.unknown_share > MANY_UNKNOWN:
            return []
        return [
            f"{self.unknown_share:.1%} of the text is unknown to the run's vocabulary and read as "
            "one and the same symbol, which is easy to predict: the metrics say little of this "
            "text; evaluate a run that was trained on text of its kind"
        ]

    def summary(self) -> list[str]:
        """Lines that say what was found."""
        name = self.data.get("name", "")
        lines = [f"{self.run} on {name}{f', {self.part}' if self.part else ''}:"]
        width = max([24, *(len(metric) + 2 for metric in self)])
        lines += [f"  {metric:<{width}}{value:.4f}" for metric, value in self.items()]
        if self.symbols:
            share = f"{self.unknown:,} of {self.symbols:,} symbols ({self.unknown_share:.2%})"
            lines.append(f"  {'unknown':<{width}}{share}")
        if self._classes is not None:
            lines += ["", *aligned(self._classes, 20)]
        elif 1 < len(self._documents.rows) <= 20:
            lines += ["", *aligned(self._documents, 20)]
        return lines

    def write(self, folder: str | Path) -> Path:
        """Write evaluation.json and, as CSV, the tables into a folder that is new or empty.

        Returns the folder. Raises UserError where it is neither, or cannot be written.
        """
        where = Path(folder)
        try:
            where.mkdir(parents=True, exist_ok=True)
            if any(where.iterdir()):
                raise UserError(
                    f"{where} has files already, which are not overwritten: name another folder"
                )
            for name, table in self._tables().items():
                write_text(where / f"{name}.csv", table.csv())
            write_text(where / "evaluation.json", json.dumps(self._json(), indent=2) + "\n")
        except OSError as error:
            raise UserError(
                f"{where} cannot be written ({reason(error)}): name another folder"
            ) from None
        return where

    def _tables(self) -> dict[str, Table]:
        tables = {"metrics": Table(("metric", "value"), [*self.items()])}
        if self._documents.rows:
            tables["documents"] = self._documents
        if self._classes is not None and self._confusion is not None:
            tables |= {"classes": self._classes, "confusion": self._confusion}
        return tables

    def _json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"run": self.run, "part": self.part, "data": self.data}
        found["metrics"] = {k: _plain(v) for k, v in self.items()}
        if self.symbols:
            share = self.unknown / self.symbols
            found |= {"symbols": self.symbols, "unknown": self.unknown, "unknown_share": share}
        if self._classes is not None:
            head = self._classes.head[1:]
            found["classes"] = {
                str(name): dict(zip(head, map(_plain, rest), strict=True))
                for name, *rest in self._classes.rows
            }
        return found | {"notes": self.notes}

    def __repr__(self) -> str:
        return f"<Evaluation of {self.run}: {dict.__repr__(self)}>"

    def _repr_html_(self) -> str:
        return show.pairs(dict(self), f"{self.run} on {self.data.get('name', '')}")


def made(
    metrics: Mapping[str, float],
    tables: Tables,
    task: Task,
    *,
    run: str,
    part: str,
    other: Other | None,
) -> Evaluation:
    """An evaluation from what was computed."""
    found = Evaluation(metrics, run, part, task.data if other is None else other.data)
    if other is not None:
        found.symbols, found.unknown, found.notes = other.symbols, other.unknown, [*other.notes]
    names, measures = task.names(), [m.name for m in task.measures]
    answers = tables.answers()
    rows: list[Sequence[Any]] = []
    for number, count, of_it in tables.documents():
        name = number if other is None or not other.documents else other.documents[number]
        said = [] if answers is None else [names[a[number]] for a in answers[::-1]]
        rows.append((name, int(count), *said, *(of_it[m] for m in measures)))
    labels = [] if answers is None else ["label", "predicted"]
    found._documents = Table(("document", "targets", *labels, *measures), rows)
    if tables.confusion is not None:
        from odyssey.training.confusion import CORNER, HEAD, class_rows

        matrix, of_class = tables.confusion.matrix, tables.confusion.names
        counts: list[Sequence[Any]] = [
            (n, *row) for n, row in zip(of_class, matrix.tolist(), strict=True)
        ]
        found._confusion = Table((CORNER, *of_class), counts)
        found._classes = Table(HEAD, [*class_rows(matrix, of_class)])
    return found


def _plain(value: Any) -> Any:
    """A value as JSON has it: null for what is no number."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def aligned(table: Table, most: int) -> list[str]:
    """The table as lines of text, the first column to the left."""
    rows = [[_brief(v) for v in row] for row in (table.head, *table.rows[:most])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    more = [f"  … {len(table.rows) - most} more"] if len(table.rows) > most else []
    return [
        "  "
        + "  ".join(
            c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))
        )
        for r in rows
    ] + more


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4f}"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
