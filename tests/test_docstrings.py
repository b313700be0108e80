"""Docstrings of all packages: one Google dialect, and a shape wherever a public function takes or returns arrays."""

import ast
import inspect
import pathlib
import re
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("benchmarks", "kernels", "preprocess", "sdclr_jax", "trainlib", "vmnet_jax")
ARRAYS = {"np.ndarray", "jax.Array", "jnp.ndarray", "chex.Array", "npt.NDArray"}
OVERRIDES = {"setup", "forward", "backward"}  # a framework names them and says what they do
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")
_SHAPE = re.compile(r"\[[^\]]*\]")

Definition = ast.FunctionDef | ast.ClassDef


def definitions(tree: ast.Module) -> Iterator[Definition]:
    """The functions and classes of a module, at any depth."""
    return (node for node in ast.walk(tree) if isinstance(node, Definition))


def public(node: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    """The public functions and classes of a module, with their public methods."""
    for child in node.body:
        if isinstance(child, Definition) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public(child)


def arguments(node: Definition) -> set[str]:
    """Names of a function's arguments, or of a class's fields and its constructor's arguments."""
    if isinstance(node, ast.FunctionDef):
        parts = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg)
        return {part.arg for part in parts if part is not None}
    fields = {child.target.id for child in node.body if isinstance(child, ast.AnnAssign)}
    makers = [child for child in node.body if isinstance(child, ast.FunctionDef) and child.name == "__init__"]
    return fields.union(*map(arguments, makers))


def annotations(node: Definition) -> list[ast.expr | None]:
    """Types of a function's arguments and result, or of a NamedTuple's fields."""
    if isinstance(node, ast.FunctionDef):
        parts = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        return [*(part.annotation for part in parts), node.returns]
    is_tuple = any(ast.unparse(base).endswith("NamedTuple") for base in node.bases)
    return [child.annotation for child in node.body if isinstance(child, ast.AnnAssign)] if is_tuple else []


def mentions_array(annotation: ast.expr | None) -> bool:
    """Whether an annotation, in quotes too, contains a type of `ARRAYS`."""
    if annotation is None:
        return False
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return any(name in annotation.value for name in ARRAYS)
    names = {ast.unparse(node) for node in ast.walk(annotation) if isinstance(node, (ast.Attribute, ast.Name))}
    return bool(names & ARRAYS)


def findings(source: str) -> Iterator[str]:
    """What breaks the rules in a module: one line each, with the line's number.

    The fields of a NamedTuple may have their shapes in comments.
    """
    tree = ast.parse(source)
    for node in public(tree):
        text = ast.get_docstring(node)
        if text is None and node.name not in OVERRIDES:
            yield f"{node.lineno}: {node.name} has no docstring"
        lines = source.splitlines()[node.lineno - 1 : node.end_lineno] if isinstance(node, ast.ClassDef) else []
        comments = [line.partition("#")[2] for line in lines]
        if any(map(mentions_array, annotations(node))) and not _SHAPE.search("".join([text or "", *comments])):
            yield f"{node.lineno}: {node.name} has arrays and shows no shape in brackets"
    for node in definitions(tree):
        yield from (f"{node.lineno}: {node.name}: {cause}" for cause in dialect(node))


def dialect(node: Definition) -> Iterator[str]:
    """What is not of the dialect in one docstring: `Args:` and the like, their entries indented by four spaces."""
    lines = inspect.cleandoc(ast.get_docstring(node, clean=False) or "").split("\n")
    section, order, names = "", [], arguments(node)
    for line in lines:
        if line.removesuffix(":") in SECTIONS and line.endswith(":"):
            section = line.removesuffix(":")
            order.append(SECTIONS.index(section))
        elif line and not line.startswith(" "):
            if section:
                yield f"text after {section}: {line[:40]!r}"
            section = ""
            head = re.match(r"(\w+(?:, \w+)*): ", line)
            if head and set(head[1].split(", ")) <= names:
                yield f"{head[1]!r} is described outside of a section"
        elif section and line:
            indent = len(line) - len(line.lstrip())
            entry = re.match(r" {4}([\w*]+(?:, [\w*]+)*): ", line)
            if indent not in (4, 8) and section != "Returns":
                yield f"{section} has an indent of {indent}"
            elif section in ("Args", "Attributes") and indent == 4 and not entry:
                yield f"{section} has {line.strip()[:40]!r}, not NAME: text"
            elif section == "Args" and indent == 4 and not {n.strip("*") for n in entry[1].split(", ")} <= names:
                yield f"no argument is called {entry[1]}"
    if order != sorted(order):
        yield "sections are in another order than " + ", ".join(SECTIONS)


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_are_complete_and_of_one_dialect(package):
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        found += [f"{name}:{finding}" for finding in findings(path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("def f(n: int):\n    return n", "f has no docstring"),
        ('def f(x: np.ndarray):\n    """Doubles."""', "f has arrays and shows no shape"),
        ('def f(x: "np.ndarray | None"):\n    """Doubles."""', "f has arrays and shows no shape"),
        ('class C(NamedTuple):\n    """Points."""\n\n    x: jax.Array', "C has arrays and shows no shape"),
        ('def f(n):\n    """Doubles.\n\n    Args:\n      n: number.\n    """', "Args has an indent of 2"),
        ('def f(n):\n    """Doubles.\n\n    Args:\n        m: number.\n    """', "no argument is called m"),
        ('def f(n):\n    """Doubles.\n\n    Args:\n        the number\n    """', "not NAME: text"),
        ('def f(n):\n    """Doubles.\n\n    n: a number.\n    """', "'n' is described outside of a section"),
        ('def f(n):\n    """Doubles.\n\n    Args:\n        n: number.\n\n    Returns it.\n    """', "text after Args"),
        (
            'def f(n):\n    """Doubles.\n\n    Returns:\n        It.\n\n    Args:\n        n: number.\n    """',
            "sections are in another order",
        ),
    ],
)
def test_a_planted_violation_is_found(source, cause):
    found = list(findings(source))
    assert len(found) == 1, found
    assert cause in found[0]
