"""Language model over words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from odyssey.data.types import Text
from odyssey.tasks.metric import Metric
from odyssey.tasks.streamed import LanguageModel
from odyssey.tasks.words import END, Tokenizer


class WordLM(LanguageModel):
    """The next word of a text; the perplexity is e to the mean cross-entropy in nats.

    Logits (T, B, K) over the words of the training part seen at least `min_count` times, among
    them `<eos>` for each line's end, and `<unk>` for all others. Perplexities compare only between
    runs of the same vocabulary: a smaller one makes more words `<unk>` and so easier to predict.
    """

    name = "wordlm"
    measures = (
        Metric("perplexity", "min", "perplexity", "perplexity"),
        Metric("nats_per_word", "min", "nats per word", "nats per word"),
    )
    unit = "word"
    rare = {"python_docs": 3, "file": 2}
    start = END

    def __init__(self, cfg: Any, **kwargs: Any) -> None:
        super().__init__(cfg, **kwargs)
        self.tokenizer = Tokenizer(cfg.tokenizer, lower=cfg.lower)

    def count(self, text: Text) -> Mapping[str, int]:
        return self.tokenizer.count(text)

    def encode(self, text: Text, part: str) -> Any:
        return self.tokenizer.encode(text, self.vocabulary)

    def symbols(self, text: str) -> Sequence[str]:
        return self.tokenizer.split(text)

    def piece(self, symbol: str, before: str | None) -> str:
        return self.tokenizer.join(symbol, before)

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        nats = means["nats"]
        # exp overflows above 709, which a diverging model can reach
        return {"nats_per_word": nats, "perplexity": math.exp(nats) if nats < 700 else math.inf}
