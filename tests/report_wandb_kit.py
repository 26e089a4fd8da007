"""A stand-in for W&B's server that gives back what it was sent, and keeps views and reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wandb_kit import Server

USER = {"id": "u", "name": "me", "username": "me", "email": None, "admin": False, "flags": None}
USER |= {"entity": "me", "deletedAt": None, "apiKeys": {"edges": []}, "teams": {"edges": []}}
DATA = {"name": "hello", "sha256": "ab" * 32}


@dataclass
class Project(Server):
    """The project `me/odyssey`. `refused` are GraphQL operations that this login may not do."""

    asked: list[str] = field(default_factory=list)  # operations, in order
    refused: tuple[str, ...] = ()
    states: dict[str, str] = field(default_factory=dict)  # of runs, where not by the exit code
    views: dict[str, dict[str, Any]] = field(default_factory=dict)  # by id

    def answer(self, path: str, body: dict[str, Any]) -> Any:
        if path == "/graphql":
            body["query"] = body["query"].removeprefix("#graphql")
            name = body["query"].split()[1].split("(")[0]
            self.asked.append(name)
            if name in self.refused:
                return {"errors": [{"message": "permission denied"}]}
        return super().answer(path, body)

    def add(self, id: str, config: Mapping[str, Any], **parts: Any) -> None:
        """A run, as it would be here after an upload."""
        wrapped = json.dumps({key: {"value": value} for key, value in config.items()})
        empty = {"history": [], "summary": {}, "exit": 0, "displayName": id}
        empty |= {"groupName": "s", "jobType": "gru"}
        self.runs[id] = empty | {"config": wrapped} | parts

    def _project(self, values: Any) -> bool:
        entity = values.get("entity") or values.get("entityName")
        project = values.get("project") or values.get("projectName")
        return (entity, project) == ("me", "odyssey")

    def _GetDefaultEntity(self, values: Any) -> Any:
        return {"viewer": {"id": "u", "entity": "me"}}

    def _Runs(self, values: Any) -> Any:
        if not self._project(values):
            return {"project": None}
        wanted = json.loads(values["filters"]).get("group")
        there = [(i, r) for i, r in self.runs.items() if wanted in (None, r.get("groupName"))]
        start, size = int(values.get("cursor") or 0), values["perPage"]
        edges = [
            {"node": self._node(id, run), "cursor": str(start + n)}
            for n, (id, run) in enumerate(there[start : start + size], start=1)
        ]
        page = {"endCursor": str(start + size), "hasNextPage": start + size < len(there)}
        runs = {"edges": edges, "pageInfo": page}
        project = {"internalId": "1", "runCount": len(there), "readOnly": False, "runs": runs}
        return {"project": project}

    def _node(self, id: str, run: Mapping[str, Any]) -> dict[str, Any]:
        ends = {None: "running", 0: "finished", 255: "crashed"}
        keys = {key: {} for row in run["history"] for key in row}
        return {
            **dict.fromkeys(("sweepName", "commit", "description", "notes", "systemMetrics")),
            **{"id": f"Run:{id}", "projectId": "1", "tags": [], "readOnly": False, "name": id},
            "displayName": run["displayName"],
            "state": self.states.get(id) or ends.get(run["exit"], "failed"),
            "config": run["config"],
            "group": run.get("groupName"),
            "jobType": run.get("jobType"),
            "createdAt": "2026-11-22T05:00:00Z",
            "heartbeatAt": "2026-11-22T05:00:00Z",
            "summaryMetrics": json.dumps(run["summary"]),
            "historyLineCount": len(run["history"]),
            "historyKeys": {"keys": keys},
            "user": {"name": "me", "username": "me"},
        }

    def _RunFullHistory(self, values: Any) -> Any:
        rows = self.runs[values["name"]]["history"]
        every = -(-len(rows) // values["samples"])  # a longer one with rows left out
        lines = [json.dumps(row) for row in rows[:: max(every, 1)]]
        return {"project": {"run": {"history": lines}}}

    def _RunSampledHistory(self, values: Any) -> Any:
        (spec,) = map(json.loads, values["specs"])
        rows = [r for r in self.runs[values["name"]]["history"] if r.keys() >= {*spec["keys"]}]
        every = -(-len(rows) // spec["samples"])
        found = [{key: row[key] for key in spec["keys"]} for row in rows[:: max(every, 1)]]
        return {"project": {"run": {"sampledHistory": [found]}}}

    def _GetProjects(self, values: Any) -> Any:
        own = {"id": "p", "name": "odyssey", "entityName": values["entity"], "user": USER}
        own |= {"__typename": "Project", "createdAt": "2026-11-22", "isBenchmark": False}
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        return {"models": {"edges": [{"node": own}], "pageInfo": page}}

    def _ProjectInternalId(self, values: Any) -> Any:
        there = {"id": "p", "internalId": 1} if self._project(values) else None
        return {"project": there}

    def _View(self, values: Any) -> Any:
        there = [v for v in self.views.values() if v["name"] == values["viewName"]]
        edges = [{"node": {k: v[k] for k in ("id", "displayName", "spec")}} for v in there]
        mine = values["entityName"] == "me" and values["name"] == "odyssey"
        return {"project": {"allViews": {"edges": edges}} if mine else None}

    def _ProjectViews(self, values: Any) -> Any:
        there = [v for v in self.views.values() if v["type"] == "runs"]
        nodes = [{**v, "user": USER, "updatedAt": "", "createdAt": ""} for v in there]
        edges = [{"node": node, "cursor": node["id"]} for node in nodes]
        page = {"endCursor": None, "hasNextPage": False}
        return {"project": {"allViews": {"edges": edges, "pageInfo": page}}}

    def _UpsertView2(self, values: Any) -> Any:
        return self._upsertView(values)

    def _upsertView(self, values: Any) -> Any:
        id = values.get("id") or f"view{len(self.views)}"
        inserted = id not in self.views
        keys = ("name", "displayName", "description", "type", "spec")
        view = self.views[id] = {"id": id} | {key: values[key] for key in keys}
        project = {"id": "p", "name": values["projectName"], "entityName": values["entityName"]}
        view = view | {"project": project, "updatedAt": "2026-11-22T05:00:00Z"}
        return {"upsertView": {"view": view, "inserted": inserted}}


def configuration(**more: Any) -> dict[str, Any]:
    """W&B's config of a run of ours, in what is looked at."""
    return {
        "task": {"name": "charlm"},
        "model": {"hidden_size": 8, "dropout": 0.0},
        "optimizer": {"lr": 0.1},
        "trainer": {"max_steps": 5},
        "seed": 0,
        "params": 11,
        "data": DATA,
    } | more


def summary(**more: Any) -> dict[str, Any]:
    """W&B's summary of a run of ours that has ended."""
    return {
        "status": "finished",
        "cell": "gru",
        "task": "charlm",
        "data": DATA,
        "seed": 0,
        "params": 11,
        "monitor": {"name": "bits_per_char", "mode": "min"},
        "best_step": 5,
        "steps": 5,
        "valid/bits_per_char": 2.5,
        "test/bits_per_char": 2.75,
    } | more
