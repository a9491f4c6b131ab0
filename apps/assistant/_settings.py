"""What the user chooses for a session."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from plait.models import DEFAULT_MODEL


@dataclass(frozen=True, slots=True)
class Settings:
    """The choices of a session; a changed copy goes to :meth:`Session.configure`."""

    home: Path
    """The folder with contacts, calendars, notes and files."""
    model: str = DEFAULT_MODEL
    """A name in the catalog, a GGUF file, or what the server calls it."""
    base_url: str | None = None
    """An OpenAI-compatible server in the place of the local engine."""
    context_length: int | None = None
    """Tokens of prompt and answer together; ``None`` is the model's own, at most 8192."""
    planner: str | None = None
    """A planner's name; ``None`` is what fits the model."""
    tools: str | None = None
    """The user's own tools as ``module:attribute``, in the place of the assistant's."""
    tools_off: frozenset[str] = field(default_factory=frozenset)
    """Names of tools that no plan may call."""
    instructions: str = ""
    """What is to be kept in mind for every request, in the user's own words."""
    is_asking: bool = True
    """Whether calls that write or send wait for an approval."""

    def same_model(self, other: Settings) -> bool:
        """Whether both mean one model, so that it need not be loaded again."""
        return (self.model, self.base_url, self.context_length) == (
            other.model,
            other.base_url,
            other.context_length,
        )
