"""Which columns of a table hold the texts and the labels, and whether it has a header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from odyssey.errors import UserError

LOOKED_AT = 1000  # rows, to find columns by what they hold
MOST_LABELS = 100  # different ones in a column that is taken for labels unasked
LONGEST_LABEL = 50  # characters
SHORTEST_TEXT = 10  # characters, on average, of a column that is taken for texts unasked

# Names of columns in small letters, without blanks, - and _, beside `text` and `label`.
TEXT_NAMES = frozenset(
    "texts review reviews sentence content message messages comment comments tweet document "
    "reviewtext commenttext tweettext reviewbody reviewcontent headline phrase utterance".split()
)
LABEL_NAMES = frozenset(
    "labels class classes classindex classname sentiment category categories target polarity "
    "stars rating airlinesentiment".split()
)


@dataclass(frozen=True)
class Columns:
    """What the user typed of task.text_column and task.label_column: names, or numbers from 1."""

    text: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Found:
    """The indices of both columns, and whether the first row is a header.

    guessed: whether no header told, but what the columns hold.
    """

    text: int
    label: int
    header: bool
    guessed: bool


def has_both(first: Sequence[str], wanted: Columns) -> bool:
    """Whether the first row names both columns, as they were typed or else text and label."""
    names = [_name(cell) for cell in first]
    return _name(wanted.text or "text") in names and _name(wanted.label or "label") in names


def find_columns(
    table: str, rows: Sequence[Sequence[str]], wanted: Columns, *, named: bool = False
) -> Found:
    """The columns, by what was typed, else by the header, else by what they hold.

    table: what a message calls it. named: the first row is a header for certain. Raises UserError
    where there is none or more than one that it could be.
    """
    rows = [row for row in rows[: LOOKED_AT + 1] if any(cell.strip() for cell in row)]
    if not rows:
        raise UserError(f"{table} has no rows; add labelled texts")
    first, rest = [cell.strip() for cell in rows[0]], rows[1:]
    roles = ("text", "label")
    typed = {"text": wanted.text, "label": wanted.label}
    places: dict[str, int] = {}
    header, guessed = named, False
    for role in roles:
        value = typed[role]
        # Named so, a column is meant: a header or nothing.
        names = [i for i, cell in enumerate(first) if _name(cell) == _name(value or role)]
        if len(names) > 1:
            raise UserError(
                f"{table} line 1: the header names {value or role} {len(names)} times: type the "
                f"number of the one that is meant, as in task.{role}_column={names[0] + 1}"
            )
        if names and (value is not None or not _recurs(first, rest, names[0])):
            places[role], header = names[0], True
        elif value is not None:
            places[role] = _number(table, role, value, first)
    aliases = {"text": TEXT_NAMES, "label": LABEL_NAMES}
    for role in roles:
        if role not in places:
            names = [
                i
                for i, cell in enumerate(first)
                if "".join(c for c in _name(cell) if c not in " _-") in aliases[role]
                and i not in places.values()
                and not _recurs(first, rest, i)
                and (role == "text" or _few(rest, i))
            ]
            if len(names) == 1:
                places[role], header = names[0], True
            elif names:
                raise _unclear(table, first, rest, places, role)
    for role in roles:
        if role not in places:
            others = [i for i in range(len(first)) if i not in places.values()]
            fits = _could_be_text if role == "text" else _could_be_label
            names = [i for i in others if fits(rest, i)]
            if len(names) != 1:
                raise _unclear(table, first, rest, places, role)
            places[role], guessed = names[0], True
    if places["text"] == places["label"]:
        raise UserError(
            f"task.text_column and task.label_column are the same column of {table}, "
            f"{places['text'] + 1}: type two, of the header ({_line(first)})"
        )
    label = places["label"]
    if not header:  # a label of the first row that no other has is the name of the column
        header = bool(rest) and not _recurs(first, rest, label)
    return Found(places["text"], label, header, guessed)


def shown(header: Sequence[str] | None, index: int) -> str:
    """A column as a message names it: `review (column 1)`, or `column 1`."""
    name = header[index].strip() if header is not None and index < len(header) else ""
    return f"{name} (column {index + 1})" if name else f"column {index + 1}"


def _number(table: str, role: str, value: str, first: Sequence[str]) -> int:
    """The index of a column that was typed as a number."""
    if value.isascii() and value.isdigit() and 1 <= int(value) <= len(first):
        return int(value) - 1
    raise UserError(
        f"task.{role}_column={value} is not a column of {table}, whose header is ({_line(first)}): "
        f"type one of these names, or a number from 1 to {len(first)}"
    )


def _unclear(
    table: str,
    first: Sequence[str],
    rest: Sequence[Sequence[str]],
    places: dict[str, int],
    role: str,
) -> UserError:
    """The refusal, with the header, and with the columns that are the likeliest."""
    lacking = [r for r in ("text", "label") if r not in places]
    taken = dict(places)
    for other in ("text", "label"):
        if other not in taken:
            free = [i for i in range(len(first)) if i not in taken.values()]
            # The longest for the texts; for the labels one of few values, more than one.
            order = (
                (lambda i: -_length(rest, i))
                if other == "text"
                else (lambda i: (len(set(_cells(rest, i))) < 2, len(set(_cells(rest, i)))))
            )
            taken[other] = min(free, key=order) if free else 0
    names = [cell for cell in first if cell]
    words = [
        f"task.{r}_column={taken[r] + 1 if _odd(first, taken[r], rest) else first[taken[r]]}"
        for r in lacking
    ]
    what = " and ".join(f"{r}s" for r in lacking)
    return UserError(
        f"{table} line 1: no column named {' or '.join(lacking)} in the header "
        f"({_line(first) if names else 'empty'}), and which one holds the {what} is not clear: "
        f"type a name or a number from 1, as in {' '.join(words)}"
    )


def _odd(first: Sequence[str], index: int, rest: Sequence[Sequence[str]]) -> bool:
    """Whether the cell is no name to type."""
    cell = first[index]
    plain = cell.replace("_", "").isalnum() and not cell.isdigit()
    return not plain or first.count(cell) > 1 or _recurs(first, rest, index)


def _could_be_label(rows: Sequence[Sequence[str]], index: int) -> bool:
    """Short values of which there are few, each more than once on average."""
    cells = _cells(rows, index)
    return len(set(cells)) > 1 and _few(rows, index) and max(map(len, cells)) <= LONGEST_LABEL


def _few(rows: Sequence[Sequence[str]], index: int) -> bool:
    cells = _cells(rows, index)
    return len(set(cells)) <= min(MOST_LABELS, max(2, len(cells) // 2))


def _could_be_text(rows: Sequence[Sequence[str]], index: int) -> bool:
    """Values with letters, most of them different, of some length."""
    cells = _cells(rows, index)
    if not cells or len(set(cells)) <= len(cells) / 2:
        return False
    lettered = sum(any(c.isalpha() for c in cell) for cell in cells)
    return lettered > 0.9 * len(cells) and _length(rows, index) >= SHORTEST_TEXT


def _length(rows: Sequence[Sequence[str]], index: int) -> float:
    cells = _cells(rows, index)
    return sum(map(len, cells)) / len(cells) if cells else 0.0


def _cells(rows: Sequence[Sequence[str]], index: int) -> list[str]:
    """The column's values that are not empty."""
    return [row[index].strip() for row in rows if index < len(row) and row[index].strip()]


def _recurs(first: Sequence[str], rest: Sequence[Sequence[str]], index: int) -> bool:
    """Whether the first row's cell stands in the column again, as the name of one does not."""
    return first[index] in _cells(rest, index)


def _name(cell: str) -> str:
    return cell.strip().lower()


def _line(first: Sequence[str]) -> str:
    """The header as a message shows it."""
    text = ", ".join(first[:20])
    return text if len(text) <= 160 else text[:160] + "…"
