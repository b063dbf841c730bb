"""The arithmetic of `[Zram] Size=`: tokens, precedence, kinds, values. Pure; no more than sizes, numbers and `ram`.

Every value is a size (bytes) or a number; the kinds are checked when the text is read, whatever the machine, so that `min(ram, 4096)`
is an error where it is written and not 4096 bytes of swap. A literal `0` is either. Text and depth are bounded, values are floats
below 2^100: no expression can take long.

    sum     = product (("+" | "-") product)*
    product = unary (("*" | "/" | "%") unary)*
    unary   = ("-" | "+") unary | atom ("^" unary)?
    atom    = NUMBER UNIT? | NUMBER "%" | "ram" | FUNCTION "(" sum ("," sum)* ")" | "(" sum ")"
"""

from __future__ import annotations

from memd.errors import InvalidArgs
from memd.units import SUFFIXES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TEXT = 300
MAX_DEPTH = 32
MAX_VALUE = 2.0**100
SIZE, NUMBER, ZERO = "size", "number", "zero"
DIGITS, LETTERS = "0123456789.", "abcdefghijklmnopqrstuvwxyz_"


class BadExpression(InvalidArgs):
    """What is wrong with an expression, and at which character (from 0)."""

    def __init__(self, text: str, position: int, what: str) -> None:
        shown = text if len(text) <= MAX_TEXT else text[:40] + "..."
        super().__init__(f"{shown!r}, character {position + 1}: {what}")
        self.position = position


class BadValue(BadExpression):
    """An expression that can be read, and whose value on this machine is none: divided by 0, beyond all bounds."""


class Node:
    """One operation. `kind`: SIZE, NUMBER or ZERO; `value`: of a literal, or the function's and operator's name in `op`."""

    __slots__ = ("at", "kind", "op", "parts", "value")

    def __init__(self, op: str, at: int, kind: str, parts: tuple[Node, ...] = (), value: float = 0.0) -> None:
        self.op, self.at, self.kind, self.parts, self.value = op, at, kind, parts, value


def _floor(value: float) -> float:
    return value // 1


BINARY: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": lambda a, b: a % b,
    "^": lambda a, b: a**b,
}
UNARY: dict[str, Callable[[float], float]] = {
    "floor": _floor,
    "ceil": lambda value: -_floor(-value),
    "round": lambda value: _floor(value + 0.5),
    "abs": abs,
}
CHOICE: dict[str, Callable[[list[float]], float]] = {"min": min, "max": max}
FUNCTIONS = (*CHOICE, *UNARY)


def parse(text: str) -> Node:
    """BadExpression says what is wrong and where."""
    return _Parser(text).whole()


def evaluate(text: str, node: Node, ram: int) -> float:
    """Bytes or a number, finite. BadValue says which operation has no value."""
    parts = [evaluate(text, part, ram) for part in node.parts]
    try:
        value = _apply(node, parts, ram)
    except ZeroDivisionError:
        raise BadValue(text, node.at, "division by zero") from None
    except OverflowError:
        value = MAX_VALUE
    if isinstance(value, complex):
        raise BadValue(text, node.at, "a root of a negative number")
    if not -MAX_VALUE < value < MAX_VALUE:  # true for NaN too
        raise BadValue(text, node.at, "the value is beyond all bounds")
    return value


def _apply(node: Node, parts: list[float], ram: int) -> float:
    if node.op in BINARY:
        return BINARY[node.op](*parts)
    if node.op in UNARY:
        return UNARY[node.op](*parts)
    if node.op in CHOICE:
        return CHOICE[node.op](parts)
    return node.value * ram if node.op == "ram" else node.value


class _Parser:
    """Recursive descent over the text itself; `_at` is the next character."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0
        if len(text) > MAX_TEXT:
            raise BadExpression(text, MAX_TEXT, f"longer than {MAX_TEXT} characters")

    def whole(self) -> Node:
        if not self._peek():
            raise self._error("nothing there; write a size like 512M or ram / 2")
        node = self._sum()
        if self._peek():
            raise self._error(f"{self._peek()!r} is not expected here")
        return node

    def _error(self, what: str, at: int | None = None) -> BadExpression:
        return BadExpression(self._text, self._at if at is None else at, what)

    def _peek(self) -> str:
        """The next character that is no blank; "" at the end."""
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _run(self, characters: str) -> str:
        start = self._at
        while (character := self._text[self._at : self._at + 1].lower()) and character in characters:
            self._at += 1
        return self._text[start : self._at]

    def _take(self, wanted: str) -> None:
        if self._peek() != wanted:
            raise self._error(f"{wanted!r} is missing")
        self._at += 1

    def _sum(self) -> Node:
        node = self._product()
        while (op := self._peek()) and op in "+-":
            node = self._binary(op, node, self._product)
        return node

    def _product(self) -> Node:
        node = self._unary()
        while (op := self._peek()) and op in "*/%":
            node = self._binary(op, node, self._unary)
        return node

    def _binary(self, op: str, left: Node, operand: Callable[[], Node]) -> Node:
        at = self._at
        self._at += 1
        right = operand()
        return Node(op, at, self._kind_of(op, left, right, at), (left, right))

    def _unary(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"nested more than {MAX_DEPTH} deep")
        if (sign := self._peek()) and sign in "+-":
            at = self._at
            self._at += 1
            operand = self._unary()
            node = Node(sign, at, operand.kind, (Node("", at, ZERO), operand))
        else:
            node = self._atom()
            if self._peek() == "^":
                node = self._binary("^", node, self._unary)
        self._depth -= 1
        return node

    def _atom(self) -> Node:
        character = self._peek().lower()
        if character == "(":
            self._at += 1
            node = self._sum()
            self._take(")")
            return node
        if character and character in DIGITS:
            return self._number()
        if character and character in LETTERS:
            return self._name()
        raise self._error(f"a value is missing before {character!r}" if character else "it ends too early")

    def _number(self) -> Node:
        at = self._at
        digits = self._run(DIGITS)
        try:
            value = float(digits)
        except ValueError:
            raise self._error(f"{digits!r} is no number", at) from None
        if self._peek() == "%" and self._is_percent():
            self._at += 1
            return Node("ram", at, SIZE, value=value / 100)
        unit = self._run(LETTERS)
        if not unit:
            return Node("", at, NUMBER if value else ZERO, value=value)
        factor = SUFFIXES.get(unit.upper().removesuffix("IB") or unit)
        if factor is None:
            raise self._error(f"no unit {unit!r}; use one of B K M G T, as in 512M", at + len(digits))
        return Node("", at, SIZE, value=value * factor)

    def _is_percent(self) -> bool:
        """`50%` is half of ram where nothing follows that % could divide by."""
        following = self._text[self._at + 1 :].lstrip()[:1].lower()
        return not following or following not in DIGITS + LETTERS + "("

    def _name(self) -> Node:
        at = self._at
        name = self._run(LETTERS)
        if name == "ram":
            return Node("ram", at, SIZE, value=1.0)
        if name not in FUNCTIONS:
            raise self._error(f"no name {name!r}; there are ram, {', '.join(FUNCTIONS)}", at)
        self._take("(")
        parts = [self._sum()]
        while self._peek() == ",":
            self._at += 1
            parts.append(self._sum())
        self._take(")")
        if name in UNARY and len(parts) != 1:
            raise self._error(f"{name} takes one value", at)
        return Node(name, at, self._same_kind(name, parts, at), tuple(parts))

    def _kind_of(self, op: str, left: Node, right: Node, at: int) -> str:
        if op in "+-%":
            return self._same_kind(op, [left, right], at)
        sizes = (left.kind == SIZE, right.kind == SIZE)
        if sizes == (False, False):
            return NUMBER
        if op == "^" or (op == "/" and not sizes[0]):
            raise self._error(f"{op} wants a number here, and not a size", at)
        if sizes == (True, True) and op == "*":
            raise self._error("a size times a size is no size; 50% and ram are sizes, 0.5 is a number", at)
        return NUMBER if sizes == (True, True) else SIZE

    def _same_kind(self, op: str, parts: list[Node], at: int) -> str:
        kinds = {part.kind for part in parts} - {ZERO}
        if len(kinds) < 2:
            return kinds.pop() if kinds else ZERO
        number = next(part for part in parts if part.kind == NUMBER)
        if op == "%":
            raise self._error("% divides here; half of the RAM is written 50%, with nothing after it", at)
        if number.op == "":
            raise self._error(f"{number.value:.15g} has no unit, beside a size; write {number.value:.15g}M", number.at)
        raise self._error(f"{op} has a size and a number without a unit; both must be sizes, or both numbers", at)
