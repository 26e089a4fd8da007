"""The installed command: `odyssey train cell=lstm task=charlm`, `odyssey report outputs/first`, …

Also `python -m odyssey …`. Each command is one script of the clone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from odyssey.cli_utils import print_error, show, use_installed_command
from odyssey.errors import did_you_mean, options
from odyssey.streams import prepare

# Name -> the module whose main() it is, and what it does.
COMMANDS = {
    "train": ("odyssey.cli", "train a cell on a task; with -m many, as a study"),
    "status": ("odyssey.study.status", "show how far a study is"),
    "report": ("odyssey.report.main", "compare the variants of a study on a page, with tables"),
    "sample": ("odyssey.training.sampling", "write text or music with a trained model"),
    "evaluate": ("odyssey.api.evaluate_main", "measure a trained model on its data or others"),
    "predict": ("odyssey.api.predict_main", "say what a trained model expects or decides"),
    "export": ("odyssey.api.export_main", "write a trained model as ONNX, TorchScript, …"),
    "explain": ("odyssey.recurrence.compiled.explain", "show what becomes of a cell's equations"),
    "benchmark": ("odyssey.benchmark.main", "time cells and runs against torch's"),
    "dashboard": ("odyssey.report.wandb_dashboard.main", "make a view and a report at W&B"),
    "confirm": ("odyssey.confirm", "train the best of a search anew, with fresh seeds"),
    "study": (
        "odyssey.study.edit_main",
        "drop runs of a study, rename it, or merge it with others",
    ),
    "plan": ("odyssey.report.planning", "say how many seeds a comparison needs"),
    "calibrate": ("odyssey.report.calibration.main", "measure how often a report's words err"),
}


def help_text() -> str:
    """The commands."""
    lines = ["odyssey COMMAND …; odyssey COMMAND --help says more of each", ""]
    lines += [f"  {name:<10} {what}" for name, (_, what) in COMMANDS.items()]
    lines += ["", "  odyssey train cell=lstm task=charlm"]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of the command; 2 where there is no such command."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    prepare()
    use_installed_command()
    if not words or words[0] in ("-h", "--help", "help"):
        show(help_text())
        return 0
    if words[0] == "--version":
        show(f"rnn-odyssey {version('rnn-odyssey')}")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        meant = did_you_mean(name, COMMANDS)
        instead = f"odyssey train {name} …" if "=" in name else f"one of {options(COMMANDS)}"
        print_error(f"odyssey {name} is not a command{meant}: type {instead}")
        return 2
    return start(name, rest)


def start(command: str, arguments: Sequence[str] | None = None) -> int:
    """Do a command of COMMANDS, as its script does; the exit status.

    Its modules are imported here, so that Ctrl-C meanwhile ends it as at any other moment.
    """
    prepare()
    try:
        status: int = import_module(COMMANDS[command][0]).main(arguments)
        return status
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
