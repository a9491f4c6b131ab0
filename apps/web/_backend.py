"""Models and tools for a session, from its settings."""

from __future__ import annotations

import asyncio
import os

from plait.apps._setup import open_toolbox
from plait.apps.assistant import Settings
from plait.models import ChatModel, HTTPModel, LlamaModel, find_model
from plait.tools import Toolbox


class LocalBackend:
    """Opens what the command line would, but in a running event loop.

    Args:
        model: the model that is open already, for the session's first settings.
    """

    def __init__(self, model: ChatModel | None = None) -> None:
        self._ready = model

    async def open_model(self, settings: Settings) -> ChatModel:
        """The model; one of the catalog that is not there yet is downloaded.

        Raises:
            PlaitError: it cannot be had, and why.
        """
        if self._ready is not None:
            ready, self._ready = self._ready, None
            return ready
        if settings.base_url is not None:
            return await HTTPModel.connect(
                settings.model,
                base_url=settings.base_url,
                api_key=os.environ.get("PLAIT_API_KEY"),
                context_length=settings.context_length,
            )
        return await asyncio.to_thread(_load, settings)

    def open_tools(self, settings: Settings, model: ChatModel) -> Toolbox:
        """The assistant's tools over the settings' home, or the user's own.

        Raises:
            ConfigurationError: the home or the tools cannot be used.
        """
        return open_toolbox(settings.home, settings.tools, model)


def _load(settings: Settings) -> LlamaModel:
    found = find_model(settings.model)
    return LlamaModel(
        found.path, name=found.name, context_length=settings.context_length, adapter=found.adapter
    )
