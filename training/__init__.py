"""Small planners for one's own tools: data that is right by construction, and training.

What trains needs PyTorch (the extra ``train``) and is imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from plait.training._emphasis import TRIED, TriedRequest, read_tried, uses_after, write_tried
from plait.training._encoding import EncodedExample, EncodedGroup, Example, PlanEncoder, read_groups
from plait.training._session import TrainingRecord
from plait.training._skeletons import (
    Skeleton,
    ToolboxSkeletons,
    assistant_skeletons,
    other_skeletons,
    read_skeletons,
)
from plait.training._synth import DataGroup, Item, Recipe, synthesize

if TYPE_CHECKING:
    from plait.training._export import export_adapter, export_training
    from plait.training._network import LoRANetwork
    from plait.training._trainer import Trainer, TrainingOptions, TrainingStep

__all__ = [
    "SPLITS",
    "TRIED",
    "UNSEEN",
    "DataGroup",
    "DataReport",
    "DataSet",
    "EncodedExample",
    "EncodedGroup",
    "Example",
    "Item",
    "LoRANetwork",
    "Overlap",
    "PlanEncoder",
    "Recipe",
    "Skeleton",
    "Split",
    "SplitReport",
    "ToolboxSkeletons",
    "Trainer",
    "TrainingOptions",
    "TrainingRecord",
    "TrainingStep",
    "TriedRequest",
    "assistant_skeletons",
    "export_adapter",
    "export_training",
    "other_skeletons",
    "read_groups",
    "read_skeletons",
    "read_tried",
    "synthesize",
    "uses_after",
    "write_data_set",
    "write_tried",
]

_LAZY = {
    "LoRANetwork": "_network",
    "Trainer": "_trainer",
    "TrainingOptions": "_trainer",
    "TrainingStep": "_trainer",
    "export_adapter": "_export",
    "export_training": "_export",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"plait.training.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
