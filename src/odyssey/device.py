"""Where a run computes: the option `device` as a device of torch, and what a machine lacks for it.

torch is imported only where the answer depends on the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odyssey.errors import UserError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")


def has_gpu() -> bool:
    """Whether torch sees a GPU."""
    import torch

    return torch.cuda.is_available()


def device_error(device: str, precision: str = "32") -> str | None:
    """What this machine lacks for `device` and `trainer.precision`, as a sentence; None if nothing.

    device: one of DEVICES
    """
    bf16 = precision == "bf16-mixed"
    if bf16 and device == "cpu":
        return "trainer.precision=bf16-mixed is for GPUs: with device=cpu type trainer.precision=32"
    if device == "cuda" and not has_gpu():
        return (
            "device=cuda is not to be had, since torch sees no GPU here: type device=cpu or "
            "device=auto"
        )
    if bf16 and not has_gpu():
        return (
            "trainer.precision=bf16-mixed is for GPUs, and torch sees none here: type "
            "trainer.precision=32"
        )
    return None


def resolve_device(device: str = "auto", precision: str = "32") -> torch.device:
    """The device of torch that `device` means here: `auto` is a GPU where there is one.

    Raises UserError with the sentence of `device_error`.
    """
    import torch

    if error := device_error(device, precision):
        raise UserError(error)
    return torch.device("cuda" if device != "cpu" and has_gpu() else "cpu")
