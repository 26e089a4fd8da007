"""Reading W&B runs back with W&B's own tool, and a small stand-in for its server."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from run_kit import ROOT, write_text

KEY = "0123456789" * 4  # the form of an API key
OWN = {"_runtime", "_step", "_timestamp", "step", "epoch"}
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens


def overrides(tmp_path: Path, *more: str) -> list[str]:
    """A short run on a small text."""
    text = tmp_path / "text.txt"
    if not text.exists():
        write_text(text)
    given = [
        "task=charlm",
        "task.data=file",
        f"task.path={text}",
        "task.batch_size=2",
        "task.eval_batch_size=2",
        "task.sample_length=20",
        "bptt.length=5",
        "model.hidden_size=5",
        "trainer.max_epochs=null",
        "trainer.max_steps=23",
        "trainer.val_every=11",
        "trainer.log_every=3",
        "trainer.checkpoint_every=5",
    ]
    changed = {o.split("=")[0] for o in more}
    return [*(o for o in given if o.split("=")[0] not in changed), *more]


class Part:
    """One folder that W&B wrote, as `wandb leet inspect --json` prints it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        shown = subprocess.run(
            [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"WANDB_MODE": "offline"},
        )
        records = [json.loads(line) for line in shown.stdout.splitlines()]
        (self.run,) = [r["run"] for r in records if r["type"] == "run"]
        self.config = {k: v for k, v in self.run["config"]["update"].items() if k != "_wandb"}
        self.history = [r["history"]["item"] for r in records if r["type"] == "history"]
        self.exits = [r["exit"].get("exit_code", 0) for r in records if r["type"] == "exit"]
        self.summary: dict[str, Any] = {}
        for r in records:
            self.summary |= r["summary"]["update"] if r["type"] == "summary" else {}


def parts(out: Path) -> list[Part]:
    """The W&B runs of `out`, the first to end first: their names count whole seconds only."""

    def ended(path: Path) -> int:
        return next(path.glob("*.wandb")).stat().st_mtime_ns

    return [Part(p) for p in sorted((out / "wandb").glob("offline-run-*"), key=ended)]


def rows_of(history: list[dict[str, Any]]) -> list[tuple[int, str, float]]:
    """(step, name, value) in the order of logging."""
    return [
        (int(row["step"]), name, float(value))
        for row in history
        for name, value in sorted(row.items())
        if name not in OWN and not name.startswith("sample")
    ]


def rows_in(run: Path) -> list[tuple[int, str, float]]:
    """The same of a run folder's metrics.csv, sorted by name where logged at once."""
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    keyed = [((r["step"], r["time"]), int(r["step"]), r["name"], float(r["value"])) for r in rows]
    times = {key: i for i, key in enumerate(dict.fromkeys(k for k, *_ in keyed))}
    return [(s, n, v) for _, s, n, v in sorted(keyed, key=lambda row: (times[row[0]], row[2]))]


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, without any login of this machine."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        env=clean | {"NETRC": os.devnull, "XDG_CONFIG_HOME": os.devnull} | env,
    )


@dataclass
class Server:
    """What W&B's server would have: runs by id, and every request."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answer(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON to send back to a request, None for 404."""
        if match := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path):
            run = self.runs[match[1]]
            for name, file in (body.get("files") or {}).items():
                lines = [json.loads(line) for line in file["content"]]
                if name == "wandb-history.jsonl":
                    run["history"][file["offset"] :] = lines
                elif name == "wandb-summary.json":
                    run["summary"] = lines[-1]
            run["exit"] = body.get("exitcode", run["exit"])
            return {"limits": {}}
        if path != "/graphql":
            return None
        match = re.match(r"\s*(?:query|mutation)\s*(\w+)", body["query"])
        asked, values = match[1] if match else "", body.get("variables") or {}
        made = getattr(self, f"_{asked}", None)
        return {"data": made(values)} if made else {"errors": [{"message": f"no {asked}"}]}

    def _Viewer(self, values: Any) -> Any:
        viewer = {"id": "u", "entity": "me", "username": "me", "flags": "{}"}
        return {"viewer": viewer | {"teams": {"edges": []}}, "serverInfo": None}

    def _ServerFeaturesQuery(self, values: Any) -> Any:
        return {"serverInfo": {"features": []}}

    def _UpsertBucket(self, values: Any) -> Any:
        new = {"history": [], "summary": {}, "config": "{}", "exit": None}
        run = self.runs.setdefault(values["name"], new)
        run |= {k: v for k, v in values.items() if v is not None}
        entity = {"id": "e", "name": values.get("entity") or "me"}
        project = {"id": "p", "name": values.get("project") or "odyssey", "entity": entity}
        bucket = {"id": "b", "name": values["name"], "displayName": run["displayName"]}
        bucket |= {"description": None, "config": run["config"], "sweepName": None}
        bucket |= {"project": project, "historyLineCount": len(run["history"])}
        return {"upsertBucket": {"bucket": bucket, "inserted": run is new}}

    def _RunResumeStatus(self, values: Any) -> Any:
        run, bucket = self.runs.get(values["name"]), None
        if run:
            bucket = {"id": "b", "name": values["name"], "displayName": run["displayName"]}
            bucket |= {"logLineCount": 0, "eventsLineCount": 0, "tags": [], "notes": None}
            bucket |= {"historyLineCount": len(run["history"]), "eventsTail": "[]"}
            bucket |= {"historyTail": json.dumps([json.dumps(h) for h in run["history"][-1:]])}
            bucket |= {"summaryMetrics": json.dumps(run["summary"]), "config": run["config"]}
            bucket |= {"wandbConfig": '{"t": 1}'}
        model = {"id": "p", "name": "odyssey", "entity": {"id": "e", "name": "me"}}
        return {"model": model | {"bucket": bucket}}

    def _CreateRunFiles(self, values: Any) -> Any:
        files = [{"name": f, "uploadUrl": f"{self.url}/up/{f}"} for f in values["files"]]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}


@contextmanager
def serving(server: Any = None) -> Iterator[Any]:
    """A server on this machine."""
    server = server or Server()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            server.requests.append(f"{self.command} {self.path}")
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                raw = gzip.decompress(raw)
            posted = self.command == "POST" and raw.startswith(b"{")
            found = server.answer(self.path, json.loads(raw)) if posted else None
            if self.command == "PUT":
                found = {}
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(found or {}).encode())

        do_GET = do_POST = do_PUT = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            """Not to the terminal."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
