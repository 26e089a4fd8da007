"""`python scripts/export.py RUN --to onnx`: a trained model as a file for other programs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from odyssey.api.evaluate_main import add_run_options, as_options
from odyssey.api.run import EXPORTS, load
from odyssey.cli_utils import Parser, exit_status, show, typed_path

DESCRIPTION = "A trained model as ONNX, TorchScript or safetensors, with a JSON file beside it."


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0; 2 wrong input; 130 Ctrl-C."""
    return exit_status(lambda: _export(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = Parser("export", DESCRIPTION)
    add_run_options(parser, device=False)
    add = parser.add_argument
    add("--to", choices=EXPORTS, required=True, help="the format")
    add("--output", type=typed_path, metavar="FILE", help="default: RUN/exports/model.…")
    return parser


def _export(arguments: Sequence[str] | None) -> None:
    options = _parser().parse_args(arguments)
    with as_options():
        run = load(options.run, checkpoint=options.checkpoint, device="cpu", trust=options.trust)
        for path in run.export(options.to, options.output):
            show(str(path))
