"""One run folder as training leaves it, written without training anything."""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from odyssey.training.record import RunRecord

CODE = {"sha256": "c" * 64, "torch": "2.13.0+cpu"}
GIT = {"commit": "a" * 40, "dirty": False}
CONFIG: dict[str, Any] = {
    "cell._target_": "odyssey.cells.PeepholeLSTM",
    "cell.forget_bias": None,
    "cell.init.input": "normal",
    "cell.init.input_scale": 0.1,
    "cell.options": {},
    "task.name": "music",
    "task.data": "jsb",
    "task.batch_size": 1,
    "task.eval_batch_size": 32,
    "task.input_noise": 0.0,
    "task.reduction": "sum",
    "task.min_length": 2,
    "task.first_frame": False,
    "task.sample_length": 96,
    "task.sample_temperature": 1.0,
    "task.tempo": 90.0,
    "model.hidden_size": 64,
    "model.num_layers": 1,
    "model.bidirectional": False,
    "model.dropout": 0.0,
    "model.embedding_size": None,
    "model.backend": "auto",
    "model.init.kind": "normal",
    "model.init.scale": 0.1,
    "model.init.bias": "normal",
    "bptt.length": None,
    "optimizer.kind": "sgd",
    "optimizer.lr": 0.001,
    "optimizer.weight_decay": 0.0,
    "optimizer.momentum": 0.9,
    "optimizer.nesterov": True,
    "optimizer.scale_lr_by_momentum": True,
    "decay.kind": "none",
    "clip.kind": "none",
    "clip.threshold": None,
    "trainer.max_epochs": 10,
    "trainer.max_steps": None,
    "trainer.val_every": None,
    "trainer.val_within": None,
    "trainer.patience": 15,
    "trainer.precision": "32",
    "trainer.overfit_batch": False,
    "trainer.log_every": 50,
    "trainer.checkpoint_every": 200,
    "trainer.sample": False,
    "trainer.progress_bar": True,
    "trainer.threads": 1,
    "callbacks.early_stopping._target_": "odyssey.training.callbacks.EarlyStopping",
    "callbacks.early_stopping.patience": 15,
    "metrics": {},
    "logger.mode": "disabled",
    "logger.project": "odyssey",
    "logger.entity": None,
    "logger.tags": [],
    "logger.notes": None,
    "logger.dir": None,
    "loggers": {},
    "seed": 0,
    "seeds.init": None,
    "seeds.order": None,
    "seeds.split": None,
    "init_from": None,
    "study": "study",
    "plan.baseline": None,
    "plan.margin": None,
    "output_dir": "outputs",
    "data_dir": "data",
    "device": "auto",
    "resume.mode": "auto",
    "resume.failed": False,
    "resume.mixed": False,
}
# Direction, label and unit of metrics, as tasks declare them; of others the name says it.
MEASURES = {
    "nats_per_char": ("min", "nats per character", "nats per character"),
    "bits_per_char": ("min", "bits per character", "bits per character"),
    "nats": ("min", "cross-entropy in nats", "nats"),
    "mse": ("min", "mean squared error", "mean squared error"),
    "accuracy": ("max", "accuracy", "accuracy"),
    "recalled": ("max", "share of symbols recalled", "of the symbols"),
}
UNHASHED = (
    "study",
    "output_dir",
    "data_dir",
    "device",
    "resume.",
    "logger.",
    "callbacks.",
    "task.sample_",
    "plan.",
)


def write_run(
    path: Path,
    config: Mapping[str, Any],
    *,
    state: str = "finished",
    value: float = 9.0,
    cell: str = "lstm_peephole",
    data_hash: str = "d" * 64,
    metrics: Sequence[str] = ("nats_per_frame",),
    mode: str = "min",
    tested: bool = True,
    points: int = 10,
    words: Sequence[str] = (),
    rng: random.Random | None = None,
    record: Mapping[str, Any] | None = None,
) -> Path:
    """One run folder; `value` is the best validation value of the monitor."""
    rng = rng or random.Random(0)
    sign = -1.0 if mode == "max" else 1.0
    values = {f"valid/{name}": sign * value * (n + 1) for n, name in enumerate(metrics)}
    if tested and state in ("finished", "damaged"):
        values |= {f"test/{k[6:]}": v + rng.gauss(0, 0.02) for k, v in values.items()}
    hidden = int(config["model.hidden_size"])
    digits = re.search(r"-([0-9a-f]{8})$", path.name)
    content = {
        "status": "finished" if state == "damaged" else state,
        "config_hash": digits[1].ljust(64, "0") if digits else hash_of(config),
        "cell": cell,
        "cell_source": None,
        "task": config["task.name"],
        "data": {"name": config["task.data"], "sha256": data_hash},
        "seed": config["seed"],
        "seeds": {
            kind: config["seed"] * (kind != "split") if given is None else given
            for kind in ("init", "order", "split")
            for given in [config.get(f"seeds.{kind}")]
        },
        "params": 4 * hidden * (hidden + 89) + 89 * hidden,
        "metrics": {} if state in ("failed", "interrupted") else values,
        "metric_info": {n: measure(n, mode if n == metrics[0] else None) for n in metrics},
        "monitor": {"name": metrics[0], "mode": mode},
        "best_epoch": float(points),
        "best_step": 100 * points,
        "steps": 100 * points,
        "seconds": round(rng.uniform(5, 60) * hidden / 50, 3),
        "clipped_share": 0.0,
        "device": "cpu (x86_64, 1 threads)",
        "backend": "compiled",
        "versions": {"python": "3.11.7", "rnn-odyssey": "0.1.0", "torch": CODE["torch"]},
        "code": CODE,
        "git": GIT,
        "started": "2026-11-22T05:52:48+0000",
        "wandb": None,
        "error": "Traceback\n  boom\nRuntimeError: out of memory" if state == "failed" else None,
        "epochs": float(points),
    }
    if state == "diverged":
        content["error"] = "train/loss is not finite at update 7"
    path.mkdir(parents=True, exist_ok=True)
    content = RunRecord.from_dict(content).as_dict() | dict(record or {})
    text = json.dumps(content, indent=2)
    (path / "run.json").write_text(text + "\n", encoding="utf-8")
    (path / "config.yaml").write_text("".join(_yaml(_nested(config))), encoding="utf-8")
    lines = [f"- {_scalar(word)}\n" for word in words]
    (path / "overrides.yaml").write_text("".join(lines) or "[]\n", encoding="utf-8")
    series = _metrics_csv(metrics[0], sign, value, points, state == "diverged")
    (path / "metrics.csv").write_text("".join(series), encoding="utf-8")
    return path


def measure(name: str, mode: str | None = None) -> dict[str, str]:
    """What run.json has of a metric."""
    words = name.replace("_", " ")
    direction, label, unit = MEASURES.get(name, ("min", words, words))
    return {"mode": mode or direction, "label": label, "unit": unit}


def hash_of(config: Mapping[str, Any]) -> str:
    content = {k: v for k, v in config.items() if not k.startswith(UNHASHED)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _metrics_csv(
    monitor: str, sign: float, value: float, points: int, diverged: bool
) -> Iterator[str]:
    yield "step,epoch,name,value,time\n"
    for point in range(1, points + 1):
        step, now = 100 * point, f"{1.8e9 + point:.3f}"
        loss = value + 3 / point
        for name, of in (("loss", loss * 60), ("grad_norm", 200.5), ("clipped", 0.0)):
            yield f"{step - 50},{point - 0.5:.6g},train/{name},{of!r},{now}\n"
        best = value + 3 / point - 3 / points
        shown = math.nan if diverged and point == points else sign * best
        yield f"{step},{point},valid/{monitor},{shown!r},{now}\n"


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        node = found
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    return found


def _yaml(node: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{key}:\n"
            yield from _yaml(value, indent + "  ")
        else:
            yield f"{indent}{key}: {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    text = json.dumps(value)
    if isinstance(value, float) and "e" in text and "." not in text:
        return text.replace("e", ".0e")
    return text
