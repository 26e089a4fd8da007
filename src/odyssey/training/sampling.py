"""`python scripts/sample.py RUN`: what a trained model writes or plays by itself.

Nothing heavy is imported before the options are known to be good.
"""

from __future__ import annotations

import argparse
import math
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.cli_utils import Parser, check_count, exit_status, show, typed_path
from odyssey.config.fields import MOST
from odyssey.config.saved import read_config
from odyssey.device import has_gpu, resolve_device
from odyssey.errors import UserError
from odyssey.streams import is_lost
from odyssey.training.restore import check_folder, check_parts, restore_model

if TYPE_CHECKING:
    import torch

    from odyssey.tasks.base import Step, Task

DESCRIPTION = "Text from a charlm or wordlm run, on the terminal; MIDI and a picture from music."


class Trained:
    """A run's model and task without its data, ready to be sampled from."""

    def __init__(self, task: Task, step: Step, device: torch.device) -> None:
        self.task, self.step, self.device = task, step, device

    def sample(
        self, length: int | None, temperature: float | None, **options: Any
    ) -> Iterator[Any]:
        """Pieces, as `Task.sample` gives them; None is the run's own `task.sample_…`."""
        cfg = self.task.cfg
        return self.task.sample(
            self.step,
            length=cfg.sample_length if length is None else length,
            temperature=cfg.sample_temperature if temperature is None else temperature,
            device=self.device,
            **options,
        )


def load(
    run: Path, *, checkpoint: str = "best", device: str = "auto", trust: bool = False
) -> Trained:
    """Read a run folder; `checkpoint` is best or last, `device` auto, cpu or cuda.

    trust: whether a cell or task that is not Odyssey's may be imported

    Needs `config.yaml` and the checkpoint, no data. Raises UserError for what is not there.
    """
    check_folder(run, checkpoint)
    from odyssey.tasks import build as build_task
    from odyssey.tasks.base import Task
    from odyssey.training.module import RecurrentModule

    if device == "cuda" and not has_gpu():
        raise UserError("--device cuda, but torch sees no GPU here; type --device cpu or leave out")
    place = resolve_device(device)
    cfg = read_config(run)
    check_parts(run, cfg, trust, "--trust")
    cfg.model.backend = "auto"  # all backends give the same numbers; this machine may have others
    task = build_task(cfg.task, data_dir=None, seed=cfg.seed, window=cfg.bptt.length)
    if type(task).sample is Task.sample:
        raise UserError(
            f"{run} is a run of task={task.name}, which has no samples: give a run of charlm, "
            "wordlm or music"
        )
    model = restore_model(run, cfg, task, checkpoint, place)
    return Trained(task, RecurrentModule(model, task, cfg).sampler(), place)


def _parser() -> argparse.ArgumentParser:
    parser = Parser("sample", DESCRIPTION)
    add = parser.add_argument
    add(
        "run",
        metavar="RUN",
        type=typed_path,
        help="a run folder, outputs/<study>/<cell>-<task>-<hash>",
    )
    add("--prompt", help="text to go on from; for music a chord of MIDI notes, as '60 64 67'")
    add("--length", type=int, help="characters, words or frames; default: task.sample_length")
    add("--temperature", type=float, help="0 takes the likeliest; default: task.sample_temperature")
    add("--seed", type=int, help="the same seed gives the same sample; default: a new one")
    add("--checkpoint", choices=("best", "last"), default="best", help="default best")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default auto")
    add("--trust", action="store_true", help="run a cell of its maker's own, code from elsewhere")
    add(
        "--output",
        type=typed_path,
        metavar="FILE.mid",
        help="music; default: a new one in RUN/samples",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0; 2 wrong input; 130 Ctrl-C."""
    return exit_status(lambda: _sample(arguments))


def _sample(arguments: Sequence[str] | None) -> None:
    options = _parser().parse_args(arguments)
    _check(options)
    drawn = options.seed is None
    if drawn:
        options.seed = secrets.randbelow(2**31)
    try:
        trained = load(
            options.run,
            checkpoint=options.checkpoint,
            device=options.device,
            trust=options.trust,
        )
        if trained.task.name == "music":
            _play(trained, options)
        else:
            _write(trained, options)
        if drawn and not is_lost(sys.stdout):
            show(f"--seed {options.seed} repeats it", sys.stderr)
    except KeyboardInterrupt:
        show("")  # the prompt of the shell begins a line
        raise


def _check(options: argparse.Namespace) -> None:
    check_count("--length", options.length, 1, MOST)
    heat = options.temperature
    if heat is not None and not (heat >= 0 and math.isfinite(heat)):
        raise UserError(f"--temperature {heat} is out of range: type 0 (no chance) or more")
    if options.seed is not None and not 0 <= options.seed < 2**63:
        raise UserError(f"--seed {options.seed} is out of range: type 0 or more")
    output = options.output
    if output is not None and output.suffix != ".mid":
        raise UserError(f"--output {output} must end in .mid")
    if output is not None and not output.parent.is_dir():
        raise UserError(f"--output {output}: there is no folder {output.parent}; make it first")


def _write(trained: Trained, options: argparse.Namespace) -> None:
    """The prompt and what follows it, each piece as soon as it is drawn."""
    if options.output is not None:
        raise UserError(
            f"--output is for music, and {options.run} is a run of task={trained.task.name}; "
            "to keep the text, type > FILE after the command"
        )
    pieces = trained.sample(
        options.length, options.temperature, seed=options.seed, prompt=options.prompt
    )
    show(options.prompt or "", end="", colours=False)
    for piece in pieces:
        show(piece, end="", colours=False)
        if is_lost(sys.stdout):
            return
    show("")


def _play(trained: Trained, options: argparse.Namespace) -> None:
    """A MIDI file and its picture; says where they are."""
    import numpy as np

    from odyssey.tasks.music import Music

    assert isinstance(trained.task, Music)
    frames = trained.sample(
        options.length, options.temperature, seed=options.seed, prompt=options.prompt
    )
    roll = np.stack(list(frames))
    output = options.output or _free(options.run / "samples", f"seed-{options.seed}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        written = trained.task.write(roll, output.with_suffix(""))
    except OSError as error:
        raise UserError(
            f"{output} cannot be written ({error.strerror}); give another with --output"
        ) from None
    show(f"{written}\n{written.with_suffix('.png')}")


def _free(folder: Path, name: str) -> Path:
    """FOLDER/NAME.mid, or NAME-2.mid, NAME-3.mid, … where that is taken."""
    path, n = folder / f"{name}.mid", 1
    while path.exists():
        n += 1
        path = folder / f"{name}-{n}.mid"
    return path
