"""plait: a request becomes a graph of tool calls, planned and run on your own machine.

    from plait import Agent, tool

    @tool(read_only=True)
    async def population(city: str) -> int:
        '''The number of people who live in a city.'''
        ...

    run = Agent("qwen2.5-coder-1.5b", [population]).run_sync("How many people live in Lyon and in Porto?")
    print(run.answer)

The names below are resolved when they are first used, so that importing plait costs next to nothing.
"""

from importlib import import_module
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

# In a checkout's root, `plait/` itself shadows the installed package, whose other subpackages this finds.
__path__ = extend_path(__path__, __name__)

if TYPE_CHECKING:
    from plait._version import __version__
    from plait.errors import PlaitError
    from plait.models import ChatModel, HTTPModel, LangChainModel, LlamaModel, Message, ScriptedModel
    from plait.orchestrator import Agent, Event, Run
    from plait.planners import Plan, PlanExample, Task
    from plait.tools import Tool, ToolAnnotations, Toolbox, tool

_HOMES = {
    "Agent": "plait.orchestrator",
    "ChatModel": "plait.models",
    "Event": "plait.orchestrator",
    "HTTPModel": "plait.models",
    "LangChainModel": "plait.models",
    "LlamaModel": "plait.models",
    "Message": "plait.models",
    "PlaitError": "plait.errors",
    "Plan": "plait.planners",
    "PlanExample": "plait.planners",
    "Run": "plait.orchestrator",
    "ScriptedModel": "plait.models",
    "Task": "plait.planners",
    "Tool": "plait.tools",
    "ToolAnnotations": "plait.tools",
    "Toolbox": "plait.tools",
    "__version__": "plait._version",
    "tool": "plait.tools",
}

__all__ = [
    "Agent",
    "ChatModel",
    "Event",
    "HTTPModel",
    "LangChainModel",
    "LlamaModel",
    "Message",
    "PlaitError",
    "Plan",
    "PlanExample",
    "Run",
    "ScriptedModel",
    "Task",
    "Tool",
    "ToolAnnotations",
    "Toolbox",
    "__version__",
    "tool",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'plait' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
