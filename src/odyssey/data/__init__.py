"""Data sets by name, as NumPy arrays: long texts, labelled texts, images, piano rolls."""

from odyssey.data.images import IMAGES, images
from odyssey.data.labelled import LABELLED_TEXTS, labelled_texts
from odyssey.data.rolls import ROLLS, rolls
from odyssey.data.text import TEXTS, other_texts, text
from odyssey.data.types import Dataset, Images, Labelled, Rolls, Text

__all__ = [
    "IMAGES",
    "LABELLED_TEXTS",
    "ROLLS",
    "TEXTS",
    "Dataset",
    "Images",
    "Labelled",
    "Rolls",
    "Text",
    "images",
    "labelled_texts",
    "other_texts",
    "rolls",
    "text",
]
