"""`python scripts/study.py`: drop runs of a study, give it another name, merge it with others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from odyssey.cli_utils import Parser, exit_status, show, typed_as, typed_path
from odyssey.errors import UserError, did_you_mean
from odyssey.study.drop import Drop, drop, to_drop
from odyssey.study.formatting import several
from odyssey.study.merge import merge
from odyssey.study.rename import rename
from odyssey.study.state import DROPPED, not_a_study, read_study

SHOWN = 10  # runs that are named before it is asked whether they are to go
HELP = """python scripts/study.py ACTION STUDY …

  drop STUDY cell=rnn        leave the runs with these settings out (all of them must match;
                             cell=rnn,gru is either), or runs by name; their folders go to
                             dropped/ in the study's folder
      --delete               delete the folders
      --dry-run              say what would go
      --yes                  do not ask
  rename STUDY NEW           give the study another name
  merge STUDY OTHER …        move the runs of other studies into STUDY
      --mixed                also runs of other code or data
"""
ACTIONS = ("drop", "rename", "merge")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0; 1 where the answer was no; 2 wrong input; 130 Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        show(HELP.replace("python scripts/study.py", typed_as("study")).rstrip())
        return 0
    said: list[int] = []
    return exit_status(lambda: said.append(_answer(words))) or said[0]


def _answer(words: list[str]) -> int:
    action, *rest = words
    if action not in ACTIONS:
        raise UserError(
            f"{action} is not an action{did_you_mean(action, ACTIONS)}: type "
            f"{typed_as('study')} and one of drop, rename or merge"
        )
    return {"drop": _drop, "rename": _rename, "merge": _merge}[action](rest)


def _parser(action: str, what: str) -> argparse.ArgumentParser:
    parser = Parser("study", what)
    parser.prog = f"{typed_as('study')} {action}"
    parser.add_argument("study", type=typed_path, metavar="STUDY", help="a study's folder")
    return parser


def _drop(words: list[str]) -> int:
    parser = _parser("drop", "Leave runs out of a study.")
    add = parser.add_argument
    add("settings", nargs="+", metavar="key=value", help="what the runs have, or a run's name")
    add("--delete", action="store_true", help="delete the folders, and do not set them aside")
    add("--dry-run", action="store_true", help="say what would go, and do nothing")
    add("--yes", action="store_true", help="do not ask")
    asked = parser.parse_intermixed_args(words)
    where = "are deleted" if asked.delete else f"go to {asked.study / DROPPED}"

    def agreed(found: Drop) -> bool:
        _tell(found, where)
        return asked.yes or _confirmed()

    if asked.dry_run:
        if wrong := not_a_study(asked.study, "type a study's folder"):
            raise UserError(wrong)
        _tell(to_drop(read_study(asked.study), asked.settings), where)
        show("nothing was done, since --dry-run is given")
        return 0
    found = drop(asked.study, asked.settings, delete=asked.delete, ask=agreed)
    if found is None:
        show("nothing was done")
        return 1
    show(f"dropped; what its tables say now: {typed_as('status')} {asked.study}")
    if found.rows:
        show(
            "a command that names them would train them anew: leave them out when you type it again"
        )
    return 0


def _tell(found: Drop, where: str) -> None:
    show(f"{found.in_words()} {where}:")
    variants = {row.run: row.variant for row in reversed(found.rows)}
    for run in found.runs[:SHOWN]:
        show(f"  {run.name}  {variants.get(run.name, 'not in the plan')}")
    if len(found.runs) > SHOWN:
        show(f"  and {len(found.runs) - SHOWN} more")


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise UserError(
            "nobody is there to be asked: type --yes too, or --dry-run to see what goes"
        )
    return input("do it? [y/N] ").strip().lower() in ("y", "yes")


def _rename(words: list[str]) -> int:
    parser = _parser("rename", "Give a study another name.")
    parser.add_argument("name", metavar="NEW", help="the new name, without a folder")
    asked = parser.parse_args(words)
    done = rename(asked.study, asked.name)
    show(f"{done.old} is now {done.folder}; study={asked.name} goes on with it")
    if done.in_wandb:
        show(
            f"W&B: {several(done.in_wandb, 'run')} keep their ids, and what was logged of them is "
            f"in the group {done.old} still; what is logged from now on is in {asked.name}"
        )
    if done.confirmed is not None:
        new = f"{asked.name}-confirmed"
        show(
            f"{done.confirmed} confirms it: {typed_as('study')} rename {done.confirmed} {new} lets "
            "the reports find each other"
        )
    return 0


def _merge(words: list[str]) -> int:
    parser = _parser("merge", "Move the runs of other studies into a study.")
    add = parser.add_argument
    add("others", nargs="+", type=typed_path, metavar="OTHER", help="further studies' folders")
    add("--mixed", action="store_true", help="also runs of other code, torch or data")
    asked = parser.parse_intermixed_args(words)
    done = merge(asked.study, asked.others, mixed=asked.mixed)
    show(f"{several(done.taken, 'run')} moved into {asked.study}")
    if done.twice:
        were = "was" if len(done.twice) == 1 else "were"
        show(f"{several(len(done.twice), 'run')} {were} in both: what {asked.study} has stays")
    for name in done.better:
        show(f"{name} was further there, and is taken; the one that was here is in {DROPPED}/")
    for name in done.conflicts:
        show(f"note: {name} has other results there: that of {asked.study} stays")
    for note in done.notes:
        show(f"note: {note}")
    for aside in done.aside:
        show(f"what is left of the other study is in {_near(aside)}")
    if done.in_wandb:
        show(
            f"W&B: {several(done.in_wandb, 'run')} keep their ids, and what was logged of them is "
            "in the other study's group still"
        )
    return 0


def _near(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
