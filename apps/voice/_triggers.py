"""What makes the assistant listen: a wake word, a key, or nothing at all."""

from __future__ import annotations

from typing import Any, Protocol

from plait.apps.voice._audio import Samples
from plait.apps.voice._noise import NoiseSuppressor
from plait.errors import ConfigurationError, MissingExtraError

WAKE_WORDS = {
    "alexa": "alexa",
    "hey jarvis": "hey_jarvis",
    "hey mycroft": "hey_mycroft",
    "okay nabu": "okay_nabu",
}
"""The wake words that come with pymicro-wakeword, and what it calls them."""


class Trigger(Protocol):
    """Decides, frame by frame, when to begin listening and when the speaker says that it is enough."""

    @property
    def interrupts(self) -> bool:
        """Whether it tells when somebody wants to speak, so that it may interrupt what is under way."""

    def begins(self, frame: Samples) -> bool:
        """Whether to begin listening after this frame."""

    def ends(self) -> bool:
        """Whether the speaker has declared the end of what is being said."""

    def reset(self) -> None:
        """Forget what was heard so far."""


class WakeWord:
    """Hears a wake word (microWakeWord, a quantized network of 60 KB; every 30 ms) through steady noise.

    Args:
        phrase: one of :data:`WAKE_WORDS`.
        cutoff: how sure the network must be, from 0 to 1; ``None`` is what the model was published with.

    Raises:
        ConfigurationError: there is no such wake word.
        MissingExtraError: pymicro-wakeword is not installed.
    """

    interrupts = True

    def __init__(self, phrase: str = "okay nabu", *, cutoff: float | None = None) -> None:
        if phrase not in WAKE_WORDS:
            raise ConfigurationError(
                f"there is no wake word {phrase!r}; choose one of {', '.join(WAKE_WORDS)}"
            )
        try:
            from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model
        except ImportError as error:
            raise MissingExtraError("pymicro-wakeword", "voice") from error
        self._suppress = NoiseSuppressor()
        self._features: Any = MicroWakeWordFeatures()
        self._network: Any = MicroWakeWord.from_builtin(Model(WAKE_WORDS[phrase]))
        self._cutoff = self._network.probability_cutoff if cutoff is None else cutoff

    def begins(self, frame: Samples) -> bool:
        """Whether the wake word ends in this frame."""
        is_heard = False
        for features in self._features.process_streaming(self._suppress(frame).tobytes()):
            probability = self._network.process_streaming_prob(features)
            is_heard = is_heard or (probability is not None and probability > self._cutoff)
        return is_heard

    def ends(self) -> bool:
        """Never: a pause ends what is said."""
        return False

    def reset(self) -> None:
        """Forget what was heard so far, but for how the noise sounds."""
        self._features.reset()
        self._network.reset()


class PushToTalk:
    """A key: the first press begins listening, the next one ends it; so does a pause."""

    interrupts = True

    def __init__(self) -> None:
        self._is_pressed = False

    def press(self) -> None:
        """The key was pressed. Call it in the event loop's thread."""
        self._is_pressed = True

    def begins(self, frame: Samples) -> bool:
        """Whether the key was pressed since the last question."""
        return self._take()

    def ends(self) -> bool:
        """Whether the key was pressed since the last question."""
        return self._take()

    def reset(self) -> None:
        """Forget a press."""
        self._is_pressed = False

    def _take(self) -> bool:
        was_pressed, self._is_pressed = self._is_pressed, False
        return was_pressed


class AlwaysListening:
    """Every speech is a request."""

    interrupts = False

    def begins(self, frame: Samples) -> bool:
        """Always."""
        return True

    def ends(self) -> bool:
        """Never: a pause ends what is said."""
        return False

    def reset(self) -> None:
        """Nothing is kept."""
