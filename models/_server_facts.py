"""What a model server is and offers, read from its answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from plait.models._openai import Server
from plait.models._told import Count, Flag, Told
from plait.models._types import GrammarKind


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is known of a model behind a server. ``None`` is what it does not tell."""

    server: Server
    """Whose dialect the server speaks."""
    grammar_kind: GrammarKind | None
    """The form in which it takes and enforces grammars; ``None`` if it enforces none."""
    context_length: int | None
    """Tokens that prompt and answer may have together."""
    version: str | None = None
    """The server's version or build, in its own words."""
    model_path: str | None = None
    """llama-server: the model's file, on the server's machine."""
    chat_template: str | None = field(default=None, repr=False)
    """llama-server: the Jinja source that makes a prompt of messages."""
    modalities: tuple[str, ...] = ()
    """llama-server: what the model reads beside text, such as ``"vision"``."""
    is_router: bool = False
    """Whether this is a llama-server that loads one of several models by its name."""
    n_slots: int | None = None
    """llama-server: how many answers it writes at a time, each with the state of its last prompt."""
    tells_idle_slots: bool = False
    """Whether it tells which slots are idle, so that a kind of prompt can keep its own."""
    caches_prefixes: bool | None = None
    """Whether the beginning that a prompt shares with an earlier one is not computed again."""
    drafts: bool | None = None
    """Whether it decodes speculatively: its operator's choice, which no request can change."""
    draft_types: tuple[str, ...] = ()
    """How it drafts, where it names that: ``"ngram-simple"``, ``"draft-mtp"``, ..."""
    grammar_field: Literal["guided_grammar", "structured_outputs"] = "structured_outputs"
    """vLLM: the field of a request that takes a GBNF or Lark grammar; the first before vLLM 0.11."""


class Slot(BaseModel):
    """One entry of llama-server's ``/slots``."""

    id: Count
    is_processing: Flag
    speculative: Told[Flag] = None


class _DefaultParams(BaseModel):
    types: Told[str] = Field(None, alias="speculative.types")
    type: Told[str] = Field(None, alias="speculative.type")


class _DefaultSettings(BaseModel):
    n_ctx: Told[Count] = None
    speculative: Told[Flag] = None
    params: Told[_DefaultParams] = None


class LlamaProps(BaseModel):
    """llama-server's ``/props``."""

    default_generation_settings: Told[_DefaultSettings] = None
    total_slots: Told[Count] = None
    build_info: Told[str] = None
    model_path: Told[str] = None
    chat_template: Told[str] = None
    modalities: Told[dict[str, Flag]] = None
    role: Told[str] = None

    @property
    def context_length(self) -> int | None:
        """Tokens of one slot; a router says 0 for itself, which is no length."""
        settings = self.default_generation_settings
        return (settings.n_ctx or None) if settings is not None else None

    @property
    def draft_types(self) -> tuple[str, ...]:
        """The types that requests get by default; since 2026 it may say "none" where drafts are made."""
        settings = self.default_generation_settings
        params = settings.params if settings is not None else None
        names = (params.types or params.type or "").split(",") if params is not None else []
        return tuple(name.strip() for name in names if name.strip() not in {"", "none"})

    def drafts(self, slots: list[Slot] | None) -> bool | None:
        """Whether answers are drafted; the slots know best."""
        told = [slot.speculative for slot in slots or () if slot.speculative is not None]
        if told:
            return any(told)
        if self.draft_types:
            return True
        settings = self.default_generation_settings
        return settings.speculative if settings is not None else None


_SLOTS = TypeAdapter(list[Slot])


def read_slots(body: str | None) -> list[Slot] | None:
    """The slots in an answer to ``/slots``; ``None`` if there is none, or it does not tell which are idle."""
    try:
        return _SLOTS.validate_json(body or "")
    except ValidationError:
        return None


def llama_facts(
    props: LlamaProps,
    slots: list[Slot] | None,
    *,
    grammar_kind: GrammarKind | None,
    context_length: int | None,
    is_router: bool = False,
) -> ServerFacts:
    """What llama-server told of itself."""
    return ServerFacts(
        server="llama-server",
        grammar_kind=grammar_kind,
        context_length=context_length or props.context_length,
        version=props.build_info,
        model_path=props.model_path,
        chat_template=props.chat_template,
        modalities=tuple(name for name, has in (props.modalities or {}).items() if has),
        is_router=is_router,
        n_slots=props.total_slots or (len(slots) if slots else None),
        tells_idle_slots=bool(slots),
        caches_prefixes=True,  # each request asks for it
        drafts=props.drafts(slots),
        draft_types=props.draft_types,
    )


@dataclass(frozen=True, slots=True)
class VLLMMetrics:
    """What vLLM's ``/metrics`` say of how it was started."""

    caches_prefixes: bool | None = None
    """Whether automatic prefix caching is on."""
    drafts: bool | None = None
    """Whether it decodes speculatively."""


_CACHE_CONFIG = re.compile(r'^vllm:cache_config_info\{.*\benable_prefix_caching="(\w+)"', re.MULTILINE)
_DRAFTS = re.compile(r"^vllm:spec_decode_", re.MULTILINE)
_ANY = re.compile(r"^vllm:", re.MULTILINE)


def read_metrics(text: str | None) -> VLLMMetrics:
    """Read Prometheus' text format; nothing is known from a text that is not vLLM's.

    The counters of speculative decoding have samples only where it is on.
    """
    if text is None or not _ANY.search(text):
        return VLLMMetrics()
    caching = _CACHE_CONFIG.search(text)
    return VLLMMetrics(
        caches_prefixes=None if caching is None else caching[1].lower() == "true",
        drafts=_DRAFTS.search(text) is not None,
    )
