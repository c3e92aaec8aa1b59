"""What a `.pt2` archive may hold so that opening and running it executes nothing but tensor operators.

Besides pickles, four places of an archive reach Python's interpreter when torch.export reads it or makes a module of
it:
symbolic shapes (evaluated by sympy), node targets (looked up by attribute from `torch`), names (written into generated
code) and tree specifications (which import the modules they name). Each is checked here against what torch.export
writes; anything else is refused.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from typing import Any

from ..errors import UnsafeFile

HINT = "make a clean one: torch.export.save(torch.export.export(model, args), 'clean.pt2')"

RECORDS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/\w+|\.format_version|\.storage_alignment"
    r"|models/model\.json|data/sample_inputs/model\.pt|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)|extra/.*"
)
NAMES = re.compile(r"[\w.+\-:/ ]*")
DERIVED = re.compile(r"[\w+\-*/() ]{1,200}")
TARGETS = re.compile(
    r"torch\.ops\.higher_order\.\w+|torch\.ops\.\w+\.\w+(\.\w+)?|torch\._?sym_\w+|math\.[a-z]\w*"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|lt|le|gt|ge|eq|ne|and_|or_|not_|xor|lshift|rshift|getitem|index)"
)
FILE_OPERATORS = re.compile(r"torch\.ops\.aten\.(save|from_file)(\.\w+)?")
"""The two operators that touch the file system: every other one maps tensors to tensors."""

UNCHECKED = {"metadata", "as_string", "as_strings", "guards_code"}
"""Free text that is never evaluated: notes for people, arguments that stay strings, and guards, which loading drops."""

SYMBOLIC = re.compile(
    r"Symbol|Integer|Float|Rational|One|Zero|Half|NegativeOne|Add|Mul|Pow|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|ModularIndexing|Where|Max|Min|Abs|Piecewise|Not|And|Or"
    r"|Eq|Ne|Equality|Unequality|(Strict)?(Less|Greater)Than|Lt|Le|Gt|Ge|Relational|LShift|RShift|PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv|Identity|ToFloat"
    r"|(Ceil|Floor|Trunc|Round)ToInt|TruncToFloat|RoundDecimal|IsNonOverlappingAndDenseIndicator|BitwiseFn_\w+|OpaqueUnaryFn_\w+|ExprCondPair|BooleanTrue|BooleanFalse"
)
"""What torch's shapes are made of, as sympy writes them."""

GROWING = ("Pow", "PowByNatural", "FloatPow", "LShift")
MOST_POWER = 64
MOST_DIGITS = 4096
MOST_LETTERS = 20_000

SYMBOLIC_NODES = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.BinOp, ast.UnaryOp, ast.BoolOp,
    ast.Compare,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip


def check_records(names: Iterable[str]) -> None:
    """Refuse an archive with records that torch.export.save does not write: custom or opaque objects, native libraries.

    Raises:
        UnsafeFile: names the record.
    """
    for name in names:
        if not RECORDS.fullmatch(name):
            raise UnsafeFile(f"the archive holds '{name}', which is not part of a plain exported program", HINT)


def check_program(text: bytes) -> None:
    """Refuse a serialised program, or a list of its weights, in which anything but tensor operators could run.

    Args:
        text: the JSON of `models/model.json`, or of a `..._config.json`.

    Raises:
        UnsafeFile: says which part, and shows its beginning.
        ValueError: it is no JSON.
    """
    _check("", json.loads(text))


def _check(key: str, value: Any) -> None:
    if key in UNCHECKED and _is_text(value):
        return
    if isinstance(value, dict):
        for name, child in value.items():
            if name in ("as_custom_obj", "custom_obj"):
                raise _refused("a custom object", name)
            derived = key == "range_constraints" and DERIVED.fullmatch(
                name
            )  # the key of a dimension such as 16*h, which is only looked up
            _expect(derived or NAMES.fullmatch(name), "a name", name)
            _check(name, child)
    elif isinstance(value, list):
        for child in value:
            _check(key, child)
    elif isinstance(value, str):
        _check_text(key, value)


def _is_text(value: Any) -> bool:
    """Whether a value is text all through: a tensor may be called `metadata`, and its shapes are no free text."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    return all(isinstance(one, str) for one in inner)


def _check_text(key: str, text: str) -> None:
    if key in ("target", "as_operator"):
        _expect(TARGETS.fullmatch(text) and not FILE_OPERATORS.fullmatch(text), "an operator", text)
    elif key == "expr_str":
        _expect(_is_symbolic(text), "a symbolic shape", text)
    elif key in ("in_spec", "out_spec"):
        _check_tree(json.loads(text), names=key == "in_spec")
    else:
        _expect(NAMES.fullmatch(text), "a name", text)


def _is_symbolic(text: str) -> bool:
    """Whether a shape is arithmetic over symbols, small enough to be evaluated: calls of `SYMBOLIC`, numbers, plain
    names.

    What grows without end is bounded: numbers by 64 bits, powers and shifts by a small constant, one of them in another
    by none.
    """
    if len(text) > MOST_LETTERS:
        return False
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in ast.walk(tree):
        if not isinstance(node, SYMBOLIC_NODES):
            return False
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and SYMBOLIC.fullmatch(node.func.id)):
            return False
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, int | float | complex)
            and not _is_small(node.value)
        ):
            return False
        if isinstance(node, ast.Call) and not all(
            _is_digits(one)
            for one in (*node.args[1:], *(given.value for given in node.keywords))
            if _names(node, "Float")
        ):
            return False
        if _grows(node) and not _is_bounded(node):
            return False
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, (str, bytes))
            and not re.fullmatch(r"[\w.+\-]*", str(node.value))
        ):
            return False
        if isinstance(node, ast.Name) and node.id.startswith("__"):
            return False
    return True


def _is_small(value: float | complex, most: int = 1 << 64) -> bool:
    return not isinstance(value, complex) and abs(value) <= most


def _names(node: ast.Call, name: str) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == name


def _is_digits(node: ast.AST) -> bool:
    """Whether a number's precision is one that some float has."""
    return isinstance(node, ast.Constant) and isinstance(node.value, int) and _is_small(node.value, MOST_DIGITS)


def _grows(node: ast.AST) -> bool:
    """Whether a node is a power or a shift."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in GROWING
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.LShift)


def _is_bounded(node: ast.AST) -> bool:
    """Whether the power or shift has a small number for an exponent, and none of its kind inside."""
    if any(_grows(inner) for inner in ast.walk(node) if inner is not node):
        return False
    arguments = (
        [node.left, node.right] if isinstance(node, ast.BinOp) else node.args if isinstance(node, ast.Call) else []
    )
    if len(arguments) != 2 or (isinstance(node, ast.Call) and node.keywords):
        return False
    exponent: ast.AST = arguments[1]
    while isinstance(exponent, ast.UnaryOp) or (isinstance(exponent, ast.Call) and len(exponent.args) == 1):
        exponent = exponent.operand if isinstance(exponent, ast.UnaryOp) else exponent.args[0]
    if isinstance(exponent, ast.Call):  # Rational(1, 2): a root
        return all(
            isinstance(one, ast.Constant) and isinstance(one.value, int) and abs(one.value) <= MOST_POWER
            for one in exponent.args
        )
    return (
        isinstance(exponent, ast.Constant)
        and isinstance(exponent.value, int | float)
        and _is_small(exponent.value, MOST_POWER)
    )


def _check_tree(spec: Any, *, names: bool) -> None:
    """Refuse a tree specification that would import modules; with `names`, keys that could become argument names
    too.
    """
    if isinstance(spec, dict):
        factory = spec.get("default_factory_module", "builtins")
        _expect("__enum__" not in spec and factory == "builtins", "a tree specification", json.dumps(spec))
        for key, child in spec.items():
            if key == "context" and isinstance(child, str):
                _check_context(child, names=names)
            else:
                _check_tree(child, names=names)
    elif isinstance(spec, list):
        for child in spec:
            _check_tree(child, names=names)


def _check_context(text: str, *, names: bool) -> None:
    try:
        context = json.loads(text)
    except ValueError:
        context = text
    _check_tree(context, names=names)
    for leaf in context if isinstance(context, list) else [context]:
        _expect(not names or not isinstance(leaf, str) or NAMES.fullmatch(leaf), "a tree specification", str(leaf))


def _expect(holds: object, what: str, text: str) -> None:
    if not holds:
        raise _refused(what, text)


def _refused(what: str, text: str) -> UnsafeFile:
    return UnsafeFile(f"contains code where {what} belongs ({text[:60]!r}); refused, never executed", HINT)
