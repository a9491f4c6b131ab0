"""Chat models: the protocol, the local engine, servers; and the catalog, of these and of encoders."""

from plait.models._adapter import PLANS, Adapter, read_adapter, weights_fingerprint, write_adapter
from plait.models._available import available_memory
from plait.models._batch_cost import BatchCost
from plait.models._bench import Speed, measure_speed
from plait.models._catalog import (
    CATALOG,
    DEFAULT_ENCODER,
    DEFAULT_MODEL,
    DEFAULT_WRITER,
    ENCODERS,
    find_encoder,
    find_spec,
)
from plait.models._download import pull, resolve
from plait.models._find import ModelFiles, find_model
from plait.models._gguf_info import GGUFInfo, read_gguf
from plait.models._hardware import Device, Machine, this_machine
from plait.models._http import HTTPModel
from plait.models._langchain import LangChainModel
from plait.models._llama import ADAPTED_CONTEXT, LlamaModel, load_model
from plait.models._memory import KVType, MemoryEstimate, check_memory, estimate_memory
from plait.models._placement import Placement, choose_placement
from plait.models._prefix_cache import PrefixCache
from plait.models._scripted import Reply, ScriptedModel, ScriptedRequest
from plait.models._server_facts import ServerFacts
from plait.models._specs import (
    ArchiveSource,
    EncoderSpec,
    FileSpec,
    HubSource,
    ModelSpec,
    PackageSource,
    SpeechSpec,
)
from plait.models._speech import find_speech
from plait.models._speech_catalog import RECOGNIZER, SPEECH, VOICE
from plait.models._store import (
    InstalledModel,
    Progress,
    check_gguf,
    file_sha256,
    installed,
    models_folder,
    remove,
    verify,
)
from plait.models._threads import ThreadCounts
from plait.models._types import (
    AdaptedModel,
    ChatModel,
    FinishReason,
    Generation,
    Grammar,
    GrammarKind,
    Message,
    ToolCall,
    Usage,
    plain_model,
    purpose_of,
)

__all__ = [
    "ADAPTED_CONTEXT",
    "CATALOG",
    "DEFAULT_ENCODER",
    "DEFAULT_MODEL",
    "DEFAULT_WRITER",
    "ENCODERS",
    "PLANS",
    "RECOGNIZER",
    "SPEECH",
    "VOICE",
    "AdaptedModel",
    "Adapter",
    "ArchiveSource",
    "BatchCost",
    "ChatModel",
    "Device",
    "EncoderSpec",
    "FileSpec",
    "FinishReason",
    "GGUFInfo",
    "Generation",
    "Grammar",
    "GrammarKind",
    "HTTPModel",
    "HubSource",
    "InstalledModel",
    "KVType",
    "LangChainModel",
    "LlamaModel",
    "Machine",
    "MemoryEstimate",
    "Message",
    "ModelFiles",
    "ModelSpec",
    "PackageSource",
    "Placement",
    "PrefixCache",
    "Progress",
    "Reply",
    "ScriptedModel",
    "ScriptedRequest",
    "ServerFacts",
    "SpeechSpec",
    "Speed",
    "ThreadCounts",
    "ToolCall",
    "Usage",
    "available_memory",
    "check_gguf",
    "check_memory",
    "choose_placement",
    "estimate_memory",
    "file_sha256",
    "find_encoder",
    "find_model",
    "find_spec",
    "find_speech",
    "installed",
    "load_model",
    "measure_speed",
    "models_folder",
    "plain_model",
    "pull",
    "purpose_of",
    "read_adapter",
    "read_gguf",
    "remove",
    "resolve",
    "this_machine",
    "verify",
    "weights_fingerprint",
    "write_adapter",
]
