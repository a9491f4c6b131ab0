"""Every exception that plait raises on purpose.

PlaitError
├── MissingExtraError          an optional dependency is not installed
├── ToolError                  anything about one tool; has ``.tool``
│   ├── ToolDefinitionError    its schema or signature cannot be expressed
│   ├── DuplicateToolError     a second tool of the same name
│   ├── UnknownToolError       no tool of that name
│   ├── ToolArgumentError      arguments that fail validation; the function was not called
│   ├── ToolCallError          the tool ran and failed; what it says is meant for the user
│   │   ├── AmbiguousError     what was named means several things; only the user can say which
│   │   └── LookupUnavailableError  no network, and not in the cache; has ``.queries``
│   └── ToolTimeoutError       the call passed its deadline
├── PlanError                  malformed plan text; has ``.position`` and ``.reason``
├── GrammarError               a plan grammar cannot be built, or a model cannot follow it
├── ModelError                 anything about one model; has ``.model``
│   ├── UnknownModelError      no such name in the catalog and no such file
│   ├── ModelFileError         a model file is missing, truncated, of the wrong hash, or no GGUF
│   ├── DownloadError          no source could deliver the file
│   ├── ContextLengthError     the prompt does not fit; has the numbers
│   ├── ModelMemoryError       the model does not fit into memory; has the numbers
│   └── ModelServerError       a model server refused, failed or could not be reached
├── RunError                   anything about one run
│   ├── DependencyError        a task was not run because a task it needs failed
│   ├── ReferenceValueError    ``$k.field`` or ``$k[0]`` does not exist in the result of task k
│   ├── ApprovalError          the call was declined, or nobody could be asked
│   ├── BusyError              a session does one thing at a time
│   └── DeadlineError          the run passed its deadline
├── ToolIndexError             a tool index is damaged, or of another version or encoder
├── VoiceError                 speech cannot be heard, recognized or spoken
└── ConfigurationError         an option or a file of the user's that cannot be used

Each message names the problem, the value and the fix. What a caller may want to branch on is a
field, never something to be read out of the message.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "AmbiguousError",
    "ApprovalError",
    "BusyError",
    "ConfigurationError",
    "ContextLengthError",
    "DeadlineError",
    "DependencyError",
    "DownloadError",
    "DuplicateToolError",
    "GrammarError",
    "LookupUnavailableError",
    "MissingExtraError",
    "ModelError",
    "ModelFileError",
    "ModelMemoryError",
    "ModelServerError",
    "PlaitError",
    "PlanError",
    "ReferenceValueError",
    "RunError",
    "ToolArgumentError",
    "ToolCallError",
    "ToolDefinitionError",
    "ToolError",
    "ToolIndexError",
    "ToolTimeoutError",
    "UnknownModelError",
    "UnknownToolError",
    "VoiceError",
]


class PlaitError(Exception):
    """Base of every exception that plait raises on purpose."""


class MissingExtraError(PlaitError, ImportError):
    """An optional dependency is needed and not installed.

    Args:
        package: the distribution that is missing, e.g. ``"llama-cpp-python"``.
        extra: the extra of plait that installs it, e.g. ``"local"``.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; install it with: pip install 'plait[{extra}]'")
        self.package = package
        self.extra = extra


class ToolError(PlaitError):
    """Something about one tool. ``tool`` is its name."""

    def __init__(self, message: str, *, tool: str | None = None) -> None:
        super().__init__(message)
        self.tool = tool


class ToolDefinitionError(ToolError):
    """The tool's schema or signature cannot be expressed."""


class DuplicateToolError(ToolError):
    """A toolbox was given two tools of the same name."""


class UnknownToolError(ToolError):
    """No tool of that name is in the toolbox."""


class ToolArgumentError(ToolError):
    """The arguments fail validation; the tool's function was not called."""


class ToolCallError(ToolError):
    """The tool ran and failed.

    Tools raise it themselves when the failure is the user's to know ("no contact named Sid"); any
    other exception of a tool is wrapped in it, as its ``__cause__``.
    """


class AmbiguousError(ToolCallError):
    """What was named means several things. Only the user can say which, so no replan may guess."""


class LookupUnavailableError(ToolCallError):
    """Something could not be looked up for want of a network, which says nothing about whether it exists."""

    def __init__(self, message: str, *, tool: str | None = None, queries: Iterable[str] = ()) -> None:
        super().__init__(message, tool=tool)
        self.queries = tuple(queries)
        """What could not be looked up."""


class ToolTimeoutError(ToolError):
    """The call did not end within ``timeout_s`` seconds."""

    def __init__(self, message: str, *, tool: str | None = None, timeout_s: float | None = None) -> None:
        super().__init__(message, tool=tool)
        self.timeout_s = timeout_s


class PlanError(PlaitError):
    """Malformed plan text.

    Args:
        reason: what is wrong, in one sentence.
        position: offset of the offending character in the whole plan text.
        line: the text of the line it stands in, as far as it was read.
    """

    def __init__(self, reason: str, *, position: int = 0, line: str = "") -> None:
        where = f" in {line.strip()!r}" if line.strip() else ""
        super().__init__(f"{reason} (at character {position}{where})")
        self.reason = reason
        self.position = position
        self.line = line


class GrammarError(PlaitError):
    """A grammar cannot be built or followed. ``tool`` names the tool that is the cause, if one is."""

    def __init__(self, message: str, *, tool: str | None = None) -> None:
        super().__init__(message)
        self.tool = tool


class ModelError(PlaitError):
    """Something about one model. ``model`` is its name or path."""

    def __init__(self, message: str, *, model: str | None = None) -> None:
        super().__init__(message)
        self.model = model


class UnknownModelError(ModelError):
    """No such name in the catalog and no such file."""


class ModelFileError(ModelError):
    """A model file is missing, truncated, of the wrong hash, or no GGUF file."""


class DownloadError(ModelError):
    """No source could deliver the file."""


class ContextLengthError(ModelError):
    """The prompt and the room for the answer exceed the model's context. Counts are in tokens."""

    def __init__(
        self, *, n_prompt: int, n_answer: int, context_length: int, model: str | None = None
    ) -> None:
        super().__init__(
            f"the prompt has {n_prompt} tokens and the answer needs room for {n_answer}, but "
            f"{model or 'the model'} has a context of {context_length}; "
            "offer fewer tools, shorten the input or raise the context length",
            model=model,
        )
        self.n_prompt = n_prompt
        self.n_answer = n_answer
        self.context_length = context_length


class ModelMemoryError(ModelError):
    """The model and its context do not fit into main memory. All numbers are bytes.

    Args:
        needed_bytes: what would lie in main memory.
        available_bytes: what is free there.
        weights_bytes: of all that is needed, the weights.
        kv_bytes: of all that is needed, keys and values of the context.
        compute_bytes: of all that is needed, intermediate results.
        device_bytes: of all that is needed, what would lie in a GPU's own memory.
        kv_type: how keys and values would be stored.
        model: the model's name or path.
    """

    def __init__(
        self,
        *,
        needed_bytes: int,
        available_bytes: int,
        weights_bytes: int,
        kv_bytes: int,
        compute_bytes: int,
        device_bytes: int = 0,
        kv_type: str = "f16",
        model: str | None = None,
    ) -> None:
        numbers = (needed_bytes, weights_bytes, kv_bytes, compute_bytes, device_bytes, available_bytes)
        needed, weights, kv, compute, device, available = (f"{n / 1e9:.1f}" for n in numbers)
        elsewhere = f", {device} of it on the GPU" if device_bytes else ""
        # What can be saved on the context must be worth the advice.
        is_hopeless = needed_bytes - kv_bytes > available_bytes
        fixes = [] if is_hopeless else ["a smaller context_length"]
        fixes += [] if is_hopeless or kv_type != "f16" else ["kv_type 'q8_0'"]
        fixes.append("a smaller model")
        super().__init__(
            f"{model or 'the model'} needs {needed} GB of memory (weights {weights}, KV {kv}, "
            f"working memory {compute}{elsewhere}) and {available} GB are free; "
            f"choose {', '.join(fixes[:-1])}{' or ' if fixes[:-1] else ''}{fixes[-1]}",
            model=model,
        )
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes
        self.weights_bytes = weights_bytes
        self.kv_bytes = kv_bytes
        self.compute_bytes = compute_bytes
        self.device_bytes = device_bytes
        self.kv_type = kv_type


class ModelServerError(ModelError):
    """A model server refused, failed or could not be reached. ``status`` is HTTP's, if there was one."""

    def __init__(self, message: str, *, model: str | None = None, status: int | None = None) -> None:
        super().__init__(message, model=model)
        self.status = status


class RunError(PlaitError):
    """Something about one run. ``task`` is the number of the task concerned, if one is."""

    def __init__(self, message: str, *, task: int | None = None) -> None:
        super().__init__(message)
        self.task = task


class DependencyError(RunError):
    """A task was not run because a task that it needs failed; the failure is the ``__cause__``."""


class ReferenceValueError(RunError):
    """``$k.field`` or ``$k[0]`` does not exist in the result of task k."""


class ApprovalError(RunError):
    """The call was declined, or it needs an approval and nobody could be asked."""


class BusyError(RunError):
    """The session is carrying out a request, or changing its settings."""


class DeadlineError(RunError):
    """The run did not end within its deadline."""


class ToolIndexError(PlaitError):
    """A tool index cannot be used: it is damaged, no index, or of another version or encoder."""


class VoiceError(PlaitError):
    """Speech cannot be heard, recognized or spoken: a sound file, a device or a program is to blame."""


class ConfigurationError(PlaitError):
    """An option or a file of the user's cannot be used."""
