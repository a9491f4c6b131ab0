"""Which tools a request may need, out of thousands: encoders, Tool2Vec (arXiv 2409.02141)."""

from plait.retrieval._encoders import BertEncoder, HashingEncoder, SentenceTransformerEncoder, load_encoder
from plait.retrieval._types import Encoder, Retriever, ScoredTool, Usage, Vectors

__all__ = [
    "BertEncoder",
    "Encoder",
    "HashingEncoder",
    "Retriever",
    "ScoredTool",
    "SentenceTransformerEncoder",
    "Usage",
    "Vectors",
    "load_encoder",
]
