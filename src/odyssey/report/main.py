"""`python scripts/report.py outputs/<study>`: a study as a page, figures and tables."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.cli_utils import Parser, exit_status, show, typed_path
from odyssey.config.own import find_part
from odyssey.errors import UserError
from odyssey.report.analysis.options import Options

if TYPE_CHECKING:
    from odyssey.report.io.runs import Collection


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a report; returns the exit status: 0, 2 for wrong input or 130 for Ctrl-C."""
    return exit_status(lambda: _run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: Sequence[str]) -> None:
    asked = _parser().parse_args(arguments)
    options = Options.asked(
        baseline=asked.baseline,
        margin=asked.margin,
        share=asked.share,
        alpha=asked.alpha,
        draws=asked.draws,
        seed=asked.seed,
    )
    if not asked.studies and asked.wandb is None:
        from odyssey.report.io.collect import example

        raise UserError(f"no study is given: {example()}")
    if asked.group and asked.wandb is None:
        raise UserError("--group is W&B's: type --wandb entity/project too")
    _make_report(asked, options)


def _make_report(asked: argparse.Namespace, options: Options) -> None:
    started = time.monotonic()
    own = _own_figures(asked.figure)
    quiet = asked.format == "json"
    bar = _ProgressBar(quiet)
    try:
        collection = _collect(asked, bar)
        from odyssey.report import pipeline  # late: NumPy and others take half a second
        from odyssey.report.analysis.comparisons import make_comparisons
        from odyssey.report.analysis.over_tasks import over_tasks

        comparisons = make_comparisons(collection, baseline=options.baseline)
        bar.stage("statistics", pipeline.count_steps(comparisons, asked.metric))
        analysed = pipeline.analyse_all(comparisons, options, asked.metric, bar.tell)
        over = over_tasks(analysed, options)
        if quiet:
            bar.close()
            verdicts = pipeline.verdicts_as_json(analysed, over)
            show(json.dumps(verdicts, indent=2, ensure_ascii=False, allow_nan=False))
            return
        bar.stage("figures and page")
        folder = asked.out or _default_folder(asked)
        title = " + ".join(study.name for study in collection.studies)
        try:
            written = pipeline.write_report(
                collection, analysed, folder, title, not asked.no_figures, bar.tell, own, over
            )
        except OSError as error:
            raise UserError(
                f"the report cannot be written to {folder}: {error.strerror or error}; type "
                "another folder, as in --out report"
            ) from error
    finally:
        bar.close()
    took = time.monotonic() - started
    show(pipeline.terminal_summary(collection, analysed, written, took, over))


def _own_figures(targets: Sequence[str]) -> list[Any]:
    """The functions `module.name`. Raises UserError for those that are not there."""
    found = [
        find_part(
            "--figure",
            target,
            "function",
            lambda one: callable(one) and not isinstance(one, type),
            "the name of a function of a View",
            "my_figures.mine for the function mine in my_figures.py",
        )
        for target in targets
    ]
    if wrong := [one for one in found if isinstance(one, str)]:
        raise UserError(*wrong)
    return found


def _collect(asked: argparse.Namespace, bar: _ProgressBar) -> Collection:
    """The runs of all studies and W&B projects that are asked for."""
    from odyssey.report.io.runs import Collection

    bar.stage("reading runs")
    collection = Collection()
    if asked.studies:
        from odyssey.report.io.collect import collect

        collection = collect(asked.studies, progress=bar.count)
    if asked.wandb is not None:
        from odyssey.report.io.wandb_project import collect_project

        further = collect_project(asked.wandb, asked.group, progress=bar.count)
        collection.studies += further.studies
        collection.runs += further.runs
    return collection


def _default_folder(asked: argparse.Namespace) -> Path:
    """Where to write: in the study's folder; for several, in `reports` beside the first."""
    if len(asked.studies) == 1 and asked.wandb is None:
        return Path(asked.studies[0]) / "report"
    names = [Path(path).resolve().name for path in asked.studies]
    if asked.wandb is not None:
        names.append(asked.wandb.strip("/").replace("/", "-"))
    parent = Path(asked.studies[0]).resolve().parent if asked.studies else Path("outputs")
    return parent / "reports" / "+".join(names)


class _ProgressBar:
    """A progress bar for each stage of a report; none where stderr is not a terminal."""

    def __init__(self, quiet: bool) -> None:
        self._off = quiet or not sys.stderr.isatty()
        self._bar: Any = None

    def stage(self, name: str, total: int | None = None) -> None:
        self.close()
        if self._off:
            return
        from tqdm import tqdm

        self._bar = tqdm(desc=name, total=total, leave=False, dynamic_ncols=True)

    def tell(self, text: str) -> None:
        """Count one more step of the stage, and show what it was."""
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update()

    def count(self, done: int, total: int) -> None:
        """Set the steps of the stage that are done, and their number."""
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _parser() -> argparse.ArgumentParser:
    parser = Parser("report", __doc__.partition(": ")[2])
    add = parser.add_argument
    add(
        "studies",
        metavar="STUDY",
        type=typed_path,
        nargs="*",
        help="studies' folders, outputs/<study>",
    )
    add("--wandb", metavar="ENTITY/PROJECT", help="runs of a W&B project, also beside folders")
    add("--group", help="of --wandb: one group (study) of the project alone")
    add(
        "--baseline",
        metavar="VARIANT",
        help="what the others are held against. Like --margin, --share and --alpha it belongs in "
        "the plan, as plan.baseline=… of the study's command: chosen here, after the data, its "
        "verdicts are exploratory",
    )
    add(
        "--margin",
        type=_parse_number,
        help="a difference that would not matter, in the metric's unit: variants shown to be "
        "nearer to the baseline than that are the same",
    )
    add("--metric", help="this one alone, such as bits_per_char; all without")
    add(
        "--share",
        type=_parse_number,
        help="of a search's trials that are compared: the plan's, else 0.1",
    )
    add("--alpha", type=_parse_number, help="level of significance: the plan's, else 0.05")
    add("--draws", type=int, default=2000, help="permutations and resamples: 2000")
    add("--seed", type=int, default=0, help="of permutations, resamples and forests: 0")
    add(
        "--figure",
        action="append",
        default=[],
        metavar="MODULE.FUNCTION",
        help="a figure of your own besides: a function of a View that returns a Figure",
    )
    add(
        "--out", type=typed_path, metavar="FOLDER", help="where to write; else report/ in the study"
    )
    add("--no-figures", action="store_true", help="no PDF and PNG files: quicker")
    add(
        "--format",
        choices=("page", "json"),
        default="page",
        help="json prints the verdicts and writes nothing",
    )
    return parser


def _parse_number(word: str) -> float:
    """A number of the command line. Raises ArgumentTypeError for nan and for what is none."""
    with suppress(ValueError):
        if not math.isnan(value := float(word)):
            return value
    raise argparse.ArgumentTypeError(f"{word} is no number")
