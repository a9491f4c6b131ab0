"""What the assistant's sessions work with: models of every kind, and the tools over the home folder."""

from __future__ import annotations

from rich.console import Console

from plait.apps._progress import waiting
from plait.apps._setup import ModelOptions, connect_model, is_served, load_model, open_toolbox
from plait.apps.assistant._home_undo import HomeRecorder, HomeUndoer
from plait.apps.assistant._settings import Settings
from plait.apps.assistant._undo import Undoer, UndoRegistry
from plait.models import ChatModel
from plait.tools import Toolbox, call_in_thread
from plait.tools.assistant import CalDavUndoer, Home, MacUndoer, ZoomUndoer, system_osascript


class AssistantBackend:
    """Opens what the command line's options mean.

    Args:
        console: shows what is waited for.
        model: the first session's model, which was opened already.
    """

    def __init__(self, console: Console, model: ChatModel | None = None) -> None:
        self._console = console
        self._first = model

    async def open_model(self, settings: Settings) -> ChatModel:
        """The model of the settings; one that runs here is loaded in a thread."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        options = ModelOptions(settings.model, settings.base_url, settings.context_length)
        if is_served(options):
            with waiting(self._console, f"connecting to {options.base_url}"):
                return await connect_model(options)
        loaded: ChatModel = await call_in_thread(load_model, {"options": options, "console": self._console})
        return loaded

    def open_tools(self, settings: Settings, model: ChatModel) -> Toolbox:
        """The tools of the settings."""
        return open_toolbox(settings.home, settings.tools, model)


def assistant_undo(settings: Settings) -> UndoRegistry:
    """What finds out and undoes what the assistant's own tools did in the settings' home."""
    recorders = [HomeRecorder(Home(settings.home))] if settings.tools is None else []
    return UndoRegistry(recorders, assistant_undoers())


def assistant_undoers() -> list[Undoer]:
    """What undoes the calls of the assistant's tools, those of earlier processes and other homes too."""
    return [HomeUndoer(), CalDavUndoer(), ZoomUndoer(), MacUndoer(system_osascript())]
