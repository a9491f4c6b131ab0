"""Arithmetic in text: read with a list of what is allowed, calculated with limits, never executed."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field

from plait.apps.evaluation._expression_source import CONSTANTS, FUNCTIONS, Number, python_source, refused

_MAX_DEPTH = 50
_MAX_BITS = 1024

_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Number, Number], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that was read and is allowed."""

    text: str
    _root: ast.expr = field(repr=False)

    def value(self) -> Number | bool:
        """Its value: a truth value where it compares, and else a number of at most 12 digits after rounding.

        Raises:
            ToolCallError: it has no finite value, or one that is too large.
        """
        try:
            if isinstance(self._root, ast.Compare):
                return self._compared(self._root)
            return _tidy(self._number(self._root, 0))
        except ZeroDivisionError:
            raise refused(self.text, "it divides by zero") from None
        except OverflowError:
            raise refused(self.text, "a number in it is too large") from None
        except ValueError:  # of math: sqrt(-1), log(0)
            raise refused(self.text, "a function in it is not defined there") from None

    def _compared(self, node: ast.Compare) -> bool:
        numbers = [self._number(part, 0) for part in (node.left, *node.comparators)]
        pairs = zip(numbers, node.ops, numbers[1:], strict=False)
        return all(_COMPARISONS[type(sign)](a, b) for a, sign, b in pairs)

    def _number(self, node: ast.expr, depth: int) -> Number:
        """The value of a part; every step is checked, so that nothing grows before it is refused."""
        if depth > _MAX_DEPTH:
            raise refused(self.text, f"it is nested more than {_MAX_DEPTH} deep")
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self._checked(value)
            case ast.Name(id=name) if name in CONSTANTS:
                return CONSTANTS[name]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                number = self._number(operand, depth + 1)
                return -number if isinstance(sign, ast.USub) else number
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                return self._power(self._number(left, depth + 1), self._number(right, depth + 1))
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
                apply = _BINARY[type(sign)]
                return self._checked(apply(self._number(left, depth + 1), self._number(right, depth + 1)))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
                return self._called(name, [self._number(a, depth + 1) for a in arguments])
            case _:
                raise refused(self.text, "it is more than arithmetic")

    def _called(self, name: str, numbers: list[Number]) -> Number:
        function = FUNCTIONS[name]
        if len(numbers) < function.least or (function.most is not None and len(numbers) > function.most):
            raise refused(self.text, f"{name} does not take {len(numbers)} numbers")
        digits = numbers[1] if name == "round" and len(numbers) == 2 else 0
        if not isinstance(digits, int) or abs(digits) > 15:
            raise refused(self.text, "round takes a whole number of digits up to 15")
        return self._checked(function.call(*numbers))

    def _power(self, base: Number, exponent: Number) -> Number:
        is_whole = isinstance(base, int) and isinstance(exponent, int)
        if is_whole and int(base).bit_length() * abs(exponent) > _MAX_BITS:
            raise refused(self.text, f"{base} ** {exponent} is too large")
        result = base**exponent
        if isinstance(result, complex):
            raise refused(self.text, "a root of a negative number is not real")
        return self._checked(result)

    def _checked(self, number: Number) -> Number:
        if isinstance(number, int):
            if number.bit_length() > _MAX_BITS:
                raise refused(self.text, "a number in it is too large")
        elif not math.isfinite(number):
            raise refused(self.text, "it has no finite value")
        return number


def read_expression(text: str) -> Expression:
    """Read arithmetic: ``+ - * / // % ** ( )``, comparisons, functions, ``pi`` and ``e``.

    ``1,234.5`` is one number, and so is ``1.2 million``; ``20%`` is 0.2 and ``20% of 50`` is 10; ``^`` is
    ``**``. What could be read in two ways is refused.

    Raises:
        ToolCallError: it is too long, or anything else; it says what.
    """
    source = python_source(text)
    try:
        root = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise refused(text, "it is no complete expression") from None
    if isinstance(root, ast.Tuple):
        raise refused(text, "it is several expressions, and only one can be calculated at a time")
    return Expression(text, root)


def evaluate(text: str) -> Number | bool:
    """The value of the expression ``text``; see :func:`read_expression`.

    Raises:
        ToolCallError: it is no expression, or it has no finite value.
    """
    return read_expression(text).value()


def _tidy(number: Number) -> Number:
    """Without the noise of binary fractions, and whole where it is."""
    if isinstance(number, int):
        return number
    rounded = float(f"{number:.12g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
