"""What scripts may call and how, read from the type stubs that ship with the package.

Place in flow: ``use_check`` asks it about what stands in the text of a script.

Invariants:
    * Nothing is run: a stub is read as text, once for each process.
    * What a stub leaves open (a type variable, a name of the standard library, a stub that is not
      installed) is known not to be known, and never an error of a script.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_BESIDE = Path(__file__).resolve().parents[1]
#: Where the stub of each package of scripts lies.
STUBS = {"mta": _BESIDE / "mta-stubs", "helpers": _BESIDE / "helpers-stubs"}
_PLAIN = {
    "str": {"str"},
    "bytes": {"bytes"},
    "bool": {"bool"},
    "int": {"int", "bool"},
    "float": {"float", "int", "bool"},
    "list": {"list", "tuple"},
    "tuple": {"tuple", "list"},
    "dict": {"dict"},
    "set": {"set"},
    "Sequence": {"list", "tuple", "str"},
    "Iterable": {"list", "tuple", "set", "dict", "str"},
    "Mapping": {"dict"},
    "Callable": {"function"},
}
_WORDS = {
    "str": "text",
    "bytes": "bytes",
    "bool": "True or False",
    "int": "a whole number",
    "float": "a number",
    "list": "a list",
    "dict": "a dict",
    "function": "a function",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """Which values written out in a script fit a type.

    Attributes:
        kinds: Names of kinds of values such as ``str``; None where anything may fit.
        choices: Texts and numbers that fit besides.
        classes: Names of classes whose objects fit; none of them can be written out.
    """

    kinds: frozenset[str] | None = None
    choices: tuple[object, ...] = ()
    classes: tuple[str, ...] = ()

    def __or__(self, other: Shape) -> Shape:
        if self.kinds is None or other.kinds is None:
            return Shape()
        return Shape(
            self.kinds | other.kinds, self.choices + other.choices, self.classes + other.classes
        )

    def __str__(self) -> str:
        kinds = self.kinds or frozenset()
        if "float" in kinds:
            kinds -= {"int", "bool"}
        elif "int" in kinds:
            kinds -= {"bool"}
        words = [text for kind, text in _WORDS.items() if kind in kinds]
        words += [repr(choice) for choice in self.choices if type(choice) is not bool]
        words += [f"an object {name}" for name in self.classes]
        words += ["None"] if "None" in kinds else []
        return " or ".join(words)


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument of a function."""

    name: str
    shape: Shape
    is_needed: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call a function.

    Attributes:
        first: Arguments by position; the first ``unnamed`` of them not by name.
        named: Arguments by name only.
        more: What further positional arguments may be; None where there are none.
        takes_any: Whether any other name is taken.
        answer: The class of what it returns, where that is one of a stub.
    """

    first: tuple[Parameter, ...]
    unnamed: int
    named: tuple[Parameter, ...]
    more: Shape | None
    takes_any: bool
    answer: Kind | None


@dataclass(slots=True, eq=False)
class Function:
    """A function or method: the ways to call it.

    Attributes:
        name: What a script writes, such as ``mta.reject``.
        waits: Whether it must be awaited.
    """

    name: str
    waits: bool
    signatures: list[Signature] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Value:
    """A property or variable: the class of its value, where that is one of a stub."""

    kind: Kind | None
    is_settable: bool = False


@dataclass(slots=True, eq=False)
class Kind:
    """A class of which scripts hold objects.

    Attributes:
        is_open: Whether it has members that the stub does not name.
    """

    name: str
    is_open: bool = False
    members: dict[str, Function | Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HandlerShape:
    """What a handler of an event is given, by position, and what it may answer, if anything."""

    arguments: tuple[Kind | None, ...]
    answer: Shape
    has_answer: bool


class StubModule:
    """The stub of one module.

    Args:
        name: Dotted, such as ``mta.dns``.
        tree: Its text.
    """

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name = name
        self._aliases: dict[str, ast.expr] = {}
        self._modules: dict[str, str] = {}
        self._bounds: dict[str, ast.expr] = {}
        self.kinds: dict[str, Kind] = {}
        self._tables: set[str] = set()
        for node in tree.body:
            self._note(node)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name in self.kinds:
                members = self.kinds[node.name].members
                for item in node.body:
                    self._add(members, item, f"{node.name.lower()}.")
        self.functions: dict[str, Function | Value] = {}
        self.handlers: dict[str, HandlerShape] = {}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == "on":
                self._note_handler(node)
            elif not isinstance(node, ast.AnnAssign):
                self._add(self.functions, node, f"{name}.")

    def _note(self, node: ast.stmt) -> None:
        match node:
            case ast.ClassDef(name=name, bases=bases):
                if any(ast.unparse(base) in {"TypedDict", "_PoolEntryName"} for base in bases):
                    self._tables.add(name)
                else:
                    others = [base for base in bases if "Generic[" not in ast.unparse(base)]
                    self.kinds[name] = Kind(name, bool(others))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                self._aliases[name] = value
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id="TypeVar"), keywords=[ast.keyword(value=bound)]),
            ):
                self._bounds[name] = bound
            case ast.ImportFrom(module=module, names=names):
                base = module or self.name
                for one in names:
                    self._modules[one.asname or one.name] = f"{base}.{one.name}"

    def _add(self, members: dict[str, Function | Value], node: ast.stmt, owner: str) -> None:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            members[node.target.id] = Value(self.kind_of(node.annotation))
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        marks = {ast.unparse(mark) for mark in node.decorator_list}
        if "property" in marks:
            members[node.name] = Value(self.kind_of(node.returns))
        elif f"{node.name}.setter" in marks:
            found = members[node.name]
            assert isinstance(found, Value)
            found.is_settable = True
        else:
            waits = isinstance(node, ast.AsyncFunctionDef) or _is_awaitable(node.returns)
            known = members.setdefault(node.name, Function(owner + node.name, waits))
            assert isinstance(known, Function)
            known.signatures.append(self._signature(node))

    def _signature(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Signature:
        arguments = node.args
        plain = [*arguments.posonlyargs, *arguments.args]
        needed = len(plain) - len(arguments.defaults)
        first = [
            Parameter(one.arg, self.shape_of(one.annotation), index < needed)
            for index, one in enumerate(plain)
        ]
        unnamed = len(arguments.posonlyargs)
        if first and first[0].name == "self":
            del first[0]
        named = [
            Parameter(one.arg, self.shape_of(one.annotation), default is None)
            for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        ]
        return Signature(
            tuple(first),
            unnamed,
            tuple(named),
            self.shape_of(arguments.vararg.annotation) if arguments.vararg else None,
            arguments.kwarg is not None,
            self.kind_of(node.returns),
        )

    # -- types

    def shape_of(self, node: ast.expr | None) -> Shape:
        """Return which written-out values fit an annotation."""
        match node:
            case ast.Constant(value=None):
                return Shape(frozenset({"None"}))
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return self.shape_of(left) | self.shape_of(right)
            case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
                values = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                return Shape(frozenset(), tuple(ast.literal_eval(value) for value in values))
            case ast.Subscript(value=ast.Name() as name):
                return self.shape_of(name)
            case ast.Name(id=name) if name in self._aliases:
                return self.shape_of(self._aliases[name])
            case ast.Name(id=name) if name in _PLAIN:
                return Shape(frozenset(_PLAIN[name]))
            case ast.Name(id=name) if name in self._tables:
                return Shape(frozenset({"dict"}))
            case ast.Name(id=name) if name in self.kinds:
                return Shape(frozenset(), classes=(name,))
        return Shape()

    def kind_of(self, node: ast.expr | None) -> Kind | None:
        """Return the class of a stub that an annotation names, None aside."""
        match node:
            case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
                return self.kind_of(left)
            case ast.Subscript(value=ast.Name(id="Awaitable"), slice=inner):
                return self.kind_of(inner)
            case ast.Name(id=name):
                return self.kinds.get(name) or self._imported(name)
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                other = read_stub(self._modules.get(module, ""))
                return other.kinds.get(name) if other is not None else None
        return None

    def _imported(self, name: str) -> Kind | None:
        module, _, last = self._modules.get(name, "").rpartition(".")
        other = read_stub(module) if module in STUBS and module != self.name else None
        return other.kinds.get(last) if other is not None else None

    def _note_handler(self, node: ast.FunctionDef) -> None:
        """Note what ``on(event, function)`` says of the handlers of an event."""
        if len(node.args.args) != 2:
            return
        event, handler = node.args.args
        match self._bounds.get(ast.unparse(handler.annotation or event)):
            case ast.Subscript(slice=ast.Tuple(elts=[ast.List(elts=arguments), answer])):
                kinds = tuple(self.kind_of(one) for one in arguments)
                has_answer = ast.unparse(answer) != "_Nothing"
                shape = HandlerShape(kinds, self._answer_shape(answer), has_answer)
                for name in ast.walk(event.annotation or event):
                    if isinstance(name, ast.Constant):
                        self.handlers[str(name.value)] = shape

    def _answer_shape(self, node: ast.expr) -> Shape:
        match node:
            case ast.Subscript(value=ast.Name(id="_Answer"), slice=inner):
                return self.shape_of(inner) | Shape(frozenset({"None"}))
        return Shape()


def _is_awaitable(node: ast.expr | None) -> bool:
    match node:
        case ast.Subscript(value=ast.Name(id="Awaitable")):
            return True
    return False


@cache
def read_stub(module: str) -> StubModule | None:
    """Return the stub of a module, or None where there is none."""
    package, _, rest = module.partition(".")
    folder = STUBS.get(package)
    if folder is None or "." in rest:
        return None
    try:
        text = (folder / f"{rest or '__init__'}.pyi").read_text(encoding="utf-8")
    except OSError:
        return None
    return StubModule(module, ast.parse(text))


def handler_shapes() -> Mapping[str, HandlerShape]:
    """Return what is known of the handlers of each event."""
    stub = read_stub("mta")
    return stub.handlers if stub is not None else {}


def members_of(module: str) -> Iterator[tuple[str, Function | Value]]:
    """Yield what the stub of a module declares, by name."""
    stub = read_stub(module)
    if stub is not None:
        yield from stub.functions.items()
