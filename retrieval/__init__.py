"""Which tools a request may need, out of thousands: encoders, and Tool2Vec with its index."""

from plait.retrieval._encoders import BertEncoder, HashingEncoder, SentenceTransformerEncoder, load_encoder
from plait.retrieval._tool2vec import RANKINGS, Ranking, Tool2Vec
from plait.retrieval._types import Encoder, Retriever, ScoredTool, Usage, Vectors

__all__ = [
    "RANKINGS",
    "BertEncoder",
    "Encoder",
    "HashingEncoder",
    "Ranking",
    "Retriever",
    "ScoredTool",
    "SentenceTransformerEncoder",
    "Tool2Vec",
    "Usage",
    "Vectors",
    "load_encoder",
]
