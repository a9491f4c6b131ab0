"""What a model server is, asked of the server itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from plait.errors import ConfigurationError
from plait.models._openai import GRAMMAR_KINDS, Server
from plait.models._refusals import RequestContext
from plait.models._transport import Transport
from plait.models._types import GrammarKind

_OLLAMA_CONTEXT_LENGTH = 4096  # the least that Ollama gives a model
_VLLM_WITH_STRUCTURED_OUTPUTS = (0, 11)  # earlier ones ignore the field without a word


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is known of a model behind a server."""

    server: Server
    """Whose dialect the server speaks."""
    grammar_kind: GrammarKind | None
    """The form in which it takes and enforces grammars."""
    context_length: int | None
    """Tokens that prompt and answer may have together; ``None`` if it does not tell."""


async def probe(
    transport: Transport,
    model: str,
    *,
    server: Server | Literal["auto"],
    grammar: GrammarKind | Literal["auto"] | None,
    context_length: int | None,
) -> ServerFacts:
    """Ask the server for what is ``"auto"``, and for its context length if that is ``None``.

    Raises:
        ModelServerError: the server cannot be reached, is busy or failed.
        ConfigurationError: it does not take such grammars.
    """
    questions = _Questions(transport, model)
    found = await questions.server() if server == "auto" else server
    return ServerFacts(
        server=found,
        grammar_kind=await questions.grammar_kind(found, grammar),
        context_length=context_length or await questions.context_length(found),
    )


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

    async def server(self) -> Server:
        if "default_generation_settings" in await self._get("/props"):
            return "llama-server"
        if any(model.get("owned_by") == "vllm" for model in await self._listed_models()):
            return "vllm"
        if "version" in await self._get("/api/version"):
            return "ollama"
        return "openai"

    async def grammar_kind(
        self, server: Server, asked: GrammarKind | Literal["auto"] | None
    ) -> GrammarKind | None:
        kind = GRAMMAR_KINDS[server][0] if asked == "auto" else check_kind(asked, server)
        if server == "vllm" and kind in {"gbnf", "lark"}:
            return await self._vllm_kind(kind, is_asked=asked != "auto")
        if server == "ollama" and asked == "auto" and self._model.endswith(("-cloud", ":cloud")):
            return None  # Ollama's cloud accepts a schema and does not enforce it
        return kind

    async def context_length(self, server: Server) -> int | None:
        match server:
            case "llama-server":
                return _int_in((await self._get("/props")).get("default_generation_settings"), "n_ctx")
            case "vllm":
                return _int_in(_named(await self._listed_models(), "id", {self._model}), "max_model_len")
            case "ollama":
                # It cuts a longer prompt in silence, so that a length must be known and too low is safe.
                loaded = _dicts((await self._get("/api/ps")).get("models"))
                model = _named(loaded, "name", {self._model, f"{self._model}:latest"})
                return _int_in(model, "context_length") or _OLLAMA_CONTEXT_LENGTH
            case "openai":
                return None

    async def _vllm_kind(self, kind: GrammarKind, *, is_asked: bool) -> GrammarKind:
        """``kind``, unless this vLLM would ignore a grammar sent so."""
        version = str((await self._get("/version")).get("version", ""))
        if _version(version) >= _VLLM_WITH_STRUCTURED_OUTPUTS:
            return kind
        if is_asked:
            raise ConfigurationError(
                f"vLLM {version or 'of unknown version'} at {self._transport.url} would ignore a grammar "
                f"given as {kind}; use vLLM 0.11 or later, or grammar='json_schema'"
            )
        return "json_schema"

    async def _listed_models(self) -> list[dict[str, Any]]:
        url = f"{self._transport.url}/models"
        return _dicts((await self._transport.get_json(RequestContext(self._model, url))).get("data"))

    async def _get(self, path: str) -> dict[str, Any]:
        url = self._transport.url.removesuffix("/v1") + path
        return await self._transport.get_json(RequestContext(self._model, url))


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
    return value if isinstance(value, int) else None
