"""What a server may tell and need not: a value of another type than expected counts as not told."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import Field, StrictBool, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

T = TypeVar("T")


def _or_none(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except ValidationError:
        return None


Told = Annotated[T | None, WrapValidator(_or_none)]
"""A field of a pydantic model that is ``None`` where the server sent something else."""
Count = Annotated[int, Field(strict=True, ge=0)]
"""How many; ``true`` and ``"7"`` are no counts."""
Milliseconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
"""A time in milliseconds, as llama-server measures them."""
Flag = StrictBool
"""``true`` or ``false``."""
