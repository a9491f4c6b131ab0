"""Data for small planners: requests as people say them, with plans that are right by construction."""

from __future__ import annotations

from plait.training._data_set import (
    SPLITS,
    UNSEEN,
    DataReport,
    DataSet,
    Overlap,
    Split,
    SplitReport,
    write_data_set,
)
from plait.training._skeletons import (
    Skeleton,
    ToolboxSkeletons,
    assistant_skeletons,
    other_skeletons,
    read_skeletons,
)
from plait.training._synth import DataGroup, Item, Recipe, synthesize

__all__ = [
    "SPLITS",
    "UNSEEN",
    "DataGroup",
    "DataReport",
    "DataSet",
    "Item",
    "Overlap",
    "Recipe",
    "Skeleton",
    "Split",
    "SplitReport",
    "ToolboxSkeletons",
    "assistant_skeletons",
    "other_skeletons",
    "read_skeletons",
    "synthesize",
    "write_data_set",
]
