"""`python scripts/sample.py RUN`: what a trained model writes or plays by itself.

Nothing heavy is imported before the options are known to be good.
"""

from __future__ import annotations

import argparse
import math
import secrets
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
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
    from odyssey.tasks.music import Music

ENDLESS = 2**62  # symbols of a text that is gone on with, a part at a time
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
    add("--top-k", type=int, metavar="K", help="draw from the K likeliest symbols alone")
    add("--top-p", type=float, metavar="P", help="from the fewest that have P of the probability")
    add("--stop", metavar="TEXT", help="end before the first such text; \\n is a line's end")
    add("--samples", type=int, metavar="N", help="so many, the second with the next seed, …")
    add("--chat", action="store_true", help="type beginnings, a line each, and see them go on")
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
        elif options.chat:
            _chat(trained, options)
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
    check_count("--samples", options.samples, 1, MOST)
    options.samples = options.samples or 1
    if options.seed is not None and not 0 <= options.seed <= 2**63 - options.samples:
        raise UserError(f"--seed {options.seed} is out of range: type 0 or more")
    check_count("--top-k", options.top_k, 1, MOST)
    if options.top_p is not None and not 0 < options.top_p <= 1:
        raise UserError(f"--top-p {options.top_p} is out of range: type more than 0, at most 1")
    if options.stop is not None:
        options.stop = options.stop.replace("\\n", "\n").replace("\\t", "\t")
        if not options.stop:
            raise UserError("--stop is empty: type the text to end before, or leave it out")
    if options.chat and (options.samples > 1 or options.output is not None):
        other = "--samples" if options.samples > 1 else "--output"
        raise UserError(f"--chat answers each line once, on the terminal: leave {other} out")
    output = options.output
    if output is not None and output.suffix != ".mid":
        raise UserError(f"--output {output} must end in .mid")
    if output is not None and not output.parent.is_dir():
        raise UserError(f"--output {output}: there is no folder {output.parent}; make it first")


def _write(trained: Trained, options: argparse.Namespace) -> None:
    """The prompt and what follows it, each piece as soon as it is drawn; and so all samples."""
    if options.output is not None:
        raise UserError(
            f"--output is for music, and {options.run} is a run of task={trained.task.name}; "
            "to keep the text, type > FILE after the command"
        )
    for number in range(options.samples):
        seed = options.seed + number
        pieces = _pieces(trained, options, options.length, seed, options.prompt)
        if options.samples > 1:
            before = "\n" if number else ""
            show(f"{before}== {number + 1} of {options.samples}, --seed {seed} ==")
        show(options.prompt or "", end="", colours=False)
        if not _print(_until(pieces, options.stop)):
            return


def _chat(trained: Trained, options: argparse.Namespace) -> None:
    """Go on from each line of the input; an empty one goes on with what was written last."""
    typed = sys.stdin.isatty()
    if typed:
        show("Type a beginning. An empty line goes on with the last text, Ctrl-D ends.", sys.stderr)
    length = trained.task.cfg.sample_length if options.length is None else options.length
    pieces: Iterator[str] | None = None
    lines = _lines(options.prompt, typed)
    for number, line in enumerate(lines):
        try:
            if line or pieces is None:
                endless = _pieces(trained, options, ENDLESS, options.seed + number, line or None)
                pieces = endless
                show(line, end="", colours=False)
            if not _print(_until(islice(pieces, length), options.stop)):
                return
        except UserError as error:  # of a symbol that it never learned: the next line may do
            for message in error.messages:
                show(f"error: {message}", sys.stderr)


def _lines(first: str | None, typed: bool) -> Iterator[str]:
    """The prompt if one is given, then the lines of standard input to its end."""
    if first:
        yield first
    while True:
        try:
            line = input("> ") if typed else sys.stdin.readline()
        except EOFError:
            show("")  # the prompt of the shell begins a line
            return
        except UnicodeDecodeError:
            raise UserError("the input is not UTF-8 text: convert it first") from None
        if not typed and not line:
            return
        yield line.rstrip("\n")


def _pieces(
    trained: Trained, options: argparse.Namespace, length: int | None, seed: int, prompt: str | None
) -> Iterator[str]:
    return trained.sample(
        length,
        options.temperature,
        seed=seed,
        prompt=prompt,
        **{k: v for k in ("top_k", "top_p") if (v := getattr(options, k)) is not None},
    )


def _until(pieces: Iterator[str], stop: str | None) -> Iterator[str]:
    from odyssey.tasks.decoding import until

    return pieces if stop is None else until(pieces, stop)


def _print(pieces: Iterator[str]) -> bool:
    """Print the pieces and a line's end; False where nobody reads on."""
    for piece in pieces:
        show(piece, end="", colours=False)
        if is_lost(sys.stdout):
            return False
    show("")
    return not is_lost(sys.stdout)


def _play(trained: Trained, options: argparse.Namespace) -> None:
    """A MIDI file and its picture for each sample; says where they are."""
    from odyssey.tasks.music import Music

    assert isinstance(trained.task, Music)
    for name in ("stop", "chat", "top_k", "top_p"):
        if getattr(options, name):
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} is for text, and {options.run} is a run of task=music")
    if options.samples > 1 and options.output is not None:
        raise UserError("--output names one file: leave --samples out, or --output")
    for number in range(options.samples):
        _play_one(trained, trained.task, options, options.seed + number)


def _play_one(trained: Trained, task: Music, options: argparse.Namespace, seed: int) -> None:
    import numpy as np

    frames = trained.sample(options.length, options.temperature, seed=seed, prompt=options.prompt)
    roll = np.stack(list(frames))
    output = options.output or _free(options.run / "samples", f"seed-{seed}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        written = task.write(roll, output.with_suffix(""))
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
