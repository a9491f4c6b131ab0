"""Which tools a request may need, out of thousands: encoders, and Tool2Vec with its index."""

from plait.retrieval._building import BuiltIndex, build_index, read_usages
from plait.retrieval._encoders import BertEncoder, HashingEncoder, SentenceTransformerEncoder, load_encoder
from plait.retrieval._folder import load_index, save_index, update_index
from plait.retrieval._reranking import CrossEncoderReranker, RerankedIndex, Reranker
from plait.retrieval._tool2vec import RANKINGS, Ranking, Tool2Vec
from plait.retrieval._types import (
    CalibratedRetriever,
    Encoder,
    GroupedRetriever,
    Retriever,
    ScoredTool,
    Usage,
    Vectors,
)
from plait.retrieval._usage_generation import GeneratedUsages, generate_usages

__all__ = [
    "RANKINGS",
    "BertEncoder",
    "BuiltIndex",
    "CalibratedRetriever",
    "CrossEncoderReranker",
    "Encoder",
    "GeneratedUsages",
    "GroupedRetriever",
    "HashingEncoder",
    "Ranking",
    "RerankedIndex",
    "Reranker",
    "Retriever",
    "ScoredTool",
    "SentenceTransformerEncoder",
    "Tool2Vec",
    "Usage",
    "Vectors",
    "build_index",
    "generate_usages",
    "load_encoder",
    "load_index",
    "read_usages",
    "save_index",
    "update_index",
]
