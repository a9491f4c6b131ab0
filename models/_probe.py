"""What a model server is and offers, asked of the server itself."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import quote

from plait.errors import ConfigurationError
from plait.models._openai import GRAMMAR_KINDS, Server
from plait.models._refusals import RequestContext
from plait.models._server_facts import (
    LlamaProps,
    ServerFacts,
    llama_facts,
    read_metrics,
    read_slots,
)
from plait.models._transport import Transport, read_json
from plait.models._types import GrammarKind

_OLLAMA_CONTEXT_LENGTH = 4096  # the least that Ollama gives a model
_VLLM_WITH_STRUCTURED_OUTPUTS = (0, 11)  # earlier ones ignore the field without a word
_VLLM_WITH_GUIDED_GRAMMAR = (0, 9)  # earlier ones have it too, with backends that read other dialects
_OPTIONAL_TIMEOUT_S = 2.0


async def probe(
    transport: Transport,
    model: str,
    *,
    server: Server | Literal["auto"],
    grammar: GrammarKind | Literal["auto"] | None,
    context_length: int | None,
) -> ServerFacts:
    """Ask the server for what is ``"auto"``, for its context length if that is ``None``, and what it offers.

    What it offers is optional: a server that does not tell, refuses or is slow to say is used without.

    Raises:
        ModelServerError: the server cannot be reached, is busy or failed, and something had to be asked.
        ConfigurationError: it does not take such grammars.
    """
    questions = _Questions(transport, model)
    if server == "auto":
        found = await questions.server()
    else:
        check_kind(None, found := server)
    kind = GRAMMAR_KINDS[found][0] if grammar == "auto" else check_kind(grammar, found)
    match found:
        case "llama-server":
            return await questions.llama(kind, context_length)
        case "vllm":
            return await questions.vllm(kind, context_length, is_asked=grammar != "auto")
        case "ollama":
            if grammar == "auto" and model.endswith(("-cloud", ":cloud")):
                kind = None  # Ollama's cloud accepts a schema and does not enforce it
            return await questions.ollama(kind, context_length)
        case "openai":
            return ServerFacts(found, kind, context_length)


def check_kind(kind: GrammarKind | None, server: Server) -> GrammarKind | None:
    """``kind``, if a ``server`` takes grammars in that form.

    Raises:
        ConfigurationError: it does not, or there is no such server.
    """
    if server not in GRAMMAR_KINDS:
        raise ConfigurationError(f"server is {server!r}; choose one of {', '.join(GRAMMAR_KINDS)}")
    if kind is not None and kind not in GRAMMAR_KINDS[server]:
        raise ConfigurationError(
            f"grammar is {kind!r}, and a server of the kind {server!r} takes "
            f"{', '.join(GRAMMAR_KINDS[server])}; choose one of these, or None"
        )
    return kind


class _Questions:
    """The questions, each in the way that one server or another answers."""

    def __init__(self, transport: Transport, model: str) -> None:
        self._transport = transport
        self._model = model
        self._answers: dict[str, dict[str, Any]] = {}

    async def server(self) -> Server:
        if "default_generation_settings" in await self._get("/props"):
            return "llama-server"
        if any(model.get("owned_by") == "vllm" for model in await self._listed_models()):
            return "vllm"
        if "version" in await self._get("/api/version"):
            return "ollama"
        return "openai"

    async def llama(self, kind: GrammarKind | None, context_length: int | None) -> ServerFacts:
        is_required = context_length is None
        props = await self._props("", is_required=is_required)
        query = f"?model={quote(self._model, safe='')}" if props.role == "router" else ""
        if query:
            props = await self._props(query, is_required=is_required)
        slots = read_slots(await self._ask(f"/slots{query}"))
        return llama_facts(
            props, slots, grammar_kind=kind, context_length=context_length, is_router=bool(query)
        )

    async def vllm(
        self, kind: GrammarKind | None, context_length: int | None, *, is_asked: bool
    ) -> ServerFacts:
        is_grammar = kind in {"gbnf", "lark"}
        answer = await self._get("/version", is_required=is_grammar)
        version = str(answer.get("version", ""))
        if is_grammar and _version(version) < _VLLM_WITH_GUIDED_GRAMMAR:
            if is_asked:
                raise ConfigurationError(
                    f"vLLM {version or 'of unknown version'} at {self._transport.url} would ignore a grammar "
                    f"given as {kind}; use vLLM 0.9 or later, or grammar='json_schema'"
                )
            kind = "json_schema"
        if context_length is None:
            context_length = _int_in(
                _named(await self._listed_models(), "id", {self._model}), "max_model_len"
            )
        metrics = read_metrics(await self._ask("/metrics"))
        is_old = kind in {"gbnf", "lark"} and _version(version) < _VLLM_WITH_STRUCTURED_OUTPUTS
        return ServerFacts(
            server="vllm",
            grammar_kind=kind,
            context_length=context_length,
            version=version or None,
            caches_prefixes=metrics.caches_prefixes,
            drafts=metrics.drafts,
            grammar_field="guided_grammar" if is_old else "structured_outputs",
        )

    async def ollama(self, kind: GrammarKind | None, context_length: int | None) -> ServerFacts:
        if context_length is None:
            # It cuts a longer prompt in silence, so that a length must be known and too low is safe.
            loaded = _dicts((await self._get("/api/ps")).get("models"))
            model = _named(loaded, "name", {self._model, f"{self._model}:latest"})
            context_length = _int_in(model, "context_length") or _OLLAMA_CONTEXT_LENGTH
        return ServerFacts("ollama", kind, context_length)

    async def _props(self, query: str, *, is_required: bool) -> LlamaProps:
        return LlamaProps.model_validate(await self._get(f"/props{query}", is_required=is_required))

    async def _listed_models(self) -> list[dict[str, Any]]:
        url = f"{self._transport.url}/models"
        return _dicts((await self._transport.get_json(RequestContext(self._model, url))).get("data"))

    async def _get(self, path: str, *, is_required: bool = True) -> dict[str, Any]:
        """The JSON object at ``path``, asked for once; empty if there is none."""
        if path not in self._answers:
            if is_required:
                context = RequestContext(self._model, self._transport.root + path)
                self._answers[path] = await self._transport.get_json(context)
            else:
                self._answers[path] = read_json(await self._ask(path) or "")
        return self._answers[path]

    async def _ask(self, path: str) -> str | None:
        context = RequestContext(self._model, self._transport.root + path)
        return await self._transport.ask(context, timeout_s=_OPTIONAL_TIMEOUT_S)


def _version(text: str) -> tuple[int, ...]:
    """The first two numbers of a version; none if it has no such form."""
    numbers = text.split(".")[:2]
    return tuple(int(number) for number in numbers) if all(n.isdecimal() for n in numbers) else ()


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _named(items: list[dict[str, Any]], key: str, names: set[str]) -> dict[str, Any] | None:
    return next((item for item in items if item.get(key) in names), None)


def _int_in(fields: object, name: str) -> int | None:
    value = fields.get(name) if isinstance(fields, dict) else None
    return value if type(value) is int and value > 0 else None
