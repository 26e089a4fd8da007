"""Embedding, the stack of layers and directions, heads."""

from odyssey.model.sequence import EncoderDecoder, HeadInit, SequenceModel, Sizes
from odyssey.model.stack import (
    Stack,
    StackState,
    detach,
    flatten_state,
    read_end,
    unflatten_state,
)

__all__ = [
    "EncoderDecoder",
    "HeadInit",
    "SequenceModel",
    "Sizes",
    "Stack",
    "StackState",
    "detach",
    "flatten_state",
    "read_end",
    "unflatten_state",
]
