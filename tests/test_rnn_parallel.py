"""odyssey.RNN under nn.DataParallel and DistributedDataParallel."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

import odyssey
from cell_cases import normal
from model_kit import randomize


def layer(backend: str = "auto") -> nn.Module:
    rnn = odyssey.RNN(
        "lstm_peephole", 3, 4, num_layers=2, bidirectional=True, batch_first=True, backend=backend
    )
    return randomize(rnn).float()


def replica(module: nn.Module) -> nn.Module:
    """As nn.parallel.replicate makes them on each GPU: weights that are no parameters."""
    copies = {m: m._replicate_for_data_parallel() for m in module.modules()}
    for original, made in copies.items():
        for name, child in original._modules.items():
            made._modules[name] = None if child is None else copies[child]
        for name, weight in original._parameters.items():
            if weight is None:
                made._parameters[name] = None
            else:
                setattr(made, name, weight.clone())
    return copies[module]


def test_data_parallel_calls_it():
    rnn = layer()
    x = normal(6, 5, 3, seed=1).float()
    wrapped, (h, c) = nn.DataParallel(rnn)(x)
    y, last = rnn(x)
    assert torch.equal(wrapped, y) and torch.equal(h, last[0]) and torch.equal(c, last[1])


@pytest.mark.parametrize("backend", ["reference", "compiled"])
def test_replicas_in_threads_give_the_gradients_of_the_whole_batch(backend):
    rnn = layer(backend)
    x, n = normal(6, 5, 3, seed=1).float(), torch.tensor([5, 3, 1, 5, 2, 4])
    weigh = normal(6, 5, 8, seed=2).float()
    (rnn(x, lengths=n)[0] * weigh).sum().backward()
    wanted = [p.grad.clone() for p in rnn.parameters()]
    rnn.zero_grad()

    replicas = [replica(rnn) for _ in range(2)]
    assert not list(replicas[0].parameters())
    outputs: list = [None, None]

    def work(i: int) -> None:
        outputs[i] = replicas[i](x[3 * i : 3 * i + 3], lengths=n[3 * i : 3 * i + 3])[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (torch.cat(outputs) * weigh).sum().backward()
    for p, grad in zip(rnn.parameters(), wanted, strict=True):
        torch.testing.assert_close(p.grad, grad, rtol=1e-5, atol=1e-5)


PROCESS = """
import sys

import torch
import torch.distributed as dist

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
rnn, x, n, weigh = torch.load(f"{folder}/given.pt", weights_only=False)
if rank:  # DDP sends the weights of the first
    rnn.reset_parameters()
ddp = torch.nn.parallel.DistributedDataParallel(rnn)
part = slice(3 * rank, 3 * rank + 3)
(ddp(x[part], lengths=n[part])[0] * weigh[part]).sum(-1).mean().backward()
torch.save([p.grad for p in rnn.parameters()], f"{folder}/found{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one_on_the_whole_batch(tmp_path: Path):
    rnn = layer()
    x, n = normal(6, 5, 3, seed=1).float(), torch.tensor([5, 3, 1, 5, 2, 4])
    weigh = normal(6, 5, 8, seed=2).float()
    torch.save((rnn, x, n, weigh), tmp_path / "given.pt")
    # gloo would look up the host's name, which a machine without a network may not know.
    env = os.environ | {"GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path), str(rank)], env=env)
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    (rnn(x, lengths=n)[0] * weigh).sum(-1).mean().backward()
    for rank in range(2):
        found = torch.load(tmp_path / f"found{rank}.pt")
        for p, grad in zip(rnn.parameters(), found, strict=True):
            torch.testing.assert_close(grad, p.grad, rtol=1e-5, atol=1e-6)
