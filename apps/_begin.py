"""What a session begins with: the command line's options, else what was kept, else the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from plait.apps._output import Output
from plait.apps._setup import default_home, open_toolbox
from plait.apps.assistant import KeptSettings, Settings, SettingsFile
from plait.models import DEFAULT_MODEL


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the command line says; ``None`` where it says nothing."""

    home: Path | None = None
    model: str | None = None
    base_url: str | None = None
    context_length: int | None = None
    planner: str | None = None
    tools: str | None = None
    instructions: str | None = None
    is_asking: bool = True


def begin_settings(chosen: Chosen, file: SettingsFile | None, output: Output) -> Settings:
    """The settings to begin with; says on standard error which of them were kept.

    Tools that were turned off and are no longer there are named and left out. Home and tools are tried, so
    that a wrong option is told before a model is fetched.

    Raises:
        ConfigurationError: the home, the tools or the file with what was kept cannot be used.
    """
    kept = KeptSettings() if file is None else file.read()
    model, instructions = kept.model_at(chosen.base_url), kept.instructions
    off = kept.off_among(chosen.tools)
    home = chosen.home or default_home(kept.home)
    used = {
        "model": chosen.model is None and model is not None,
        "home": chosen.home is None and kept.home is not None and home == kept.home,
        "tools off": bool(off),
        "instructions": chosen.instructions is None and bool(instructions),
    }
    if file is not None and any(used.values()):
        names = ", ".join(name for name, is_used in used.items() if is_used)
        output.note(f"As chosen before ({file.path}): {names}.", style="dim")
    there = open_toolbox(home, chosen.tools, None).names
    if gone := sorted(off - set(there)):
        output.note(f"Turned off before, and no longer there: {', '.join(gone)}.", style="yellow")
    return Settings(
        home,
        chosen.model or model or DEFAULT_MODEL,
        chosen.base_url,
        chosen.context_length,
        chosen.planner,
        chosen.tools,
        tools_off=off & set(there),
        instructions=(instructions or "") if chosen.instructions is None else chosen.instructions,
        is_asking=chosen.is_asking,
    )
