"""The house stays a house: one-way imports, a light command line, a current reference."""

import ast
import re
import runpy
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from koopman_cli.cli import koopman
from koopman_cli.models import MODELS, family
from koopman_cli.models.base import Family

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "koopman_cli"
VERBS = koopman.list_commands(None)
HEAVY = ("numpy", "scipy", "torch", "h5py", "mdtraj", "matplotlib", "rich")


# ------------------------------------------------------------------ who imports whom


def rooms():
    """Rooms in the order of docs/architecture.md, as dotted names below the package."""
    listed = re.findall(
        r"^\| `([\w/]+(?:\.py)?)/?` \|",
        (ROOT / "docs/architecture.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return [name.removesuffix(".py").strip("/").replace("/", ".") for name in listed]


def room_of(module):
    """The most specific room that holds a module such as ``features.stream``."""
    holding = [room for room in rooms() if f"{module}.".startswith(f"{room}.")]
    return max(holding, key=len, default=None)


def modules():
    """Every module of the package as (dotted name below the package, syntax tree)."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield (
            name.removesuffix("__init__").rstrip("."),
            ast.parse(path.read_text(encoding="utf-8"), str(path)),
        )


def is_module(dotted):
    """Whether a dotted name below the package is a module, not a name inside one."""
    path = PACKAGE.joinpath(*dotted.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def imported(tree):
    """Absolute names of all that a tree imports, inside functions and by string too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                below = inner.removeprefix("koopman_cli.")
                yield inner if below != inner and is_module(below) else node.module
        elif isinstance(node, ast.Constant) and re.fullmatch(
            r"koopman_cli(\.\w+)+(:\w+)?", str(node.value)
        ):
            yield node.value.split(":")[0]


def inner_imports():
    """(importing module, imported module) for every import inside the package."""
    for name, tree in modules():
        for target in imported(tree):
            if name and target.startswith("koopman_cli."):
                yield name, target.removeprefix("koopman_cli.")


def test_every_module_has_a_room():
    """docs/architecture.md lists a room for every module of the package."""
    assert [name for name, _ in modules() if name and room_of(name) is None] == []


def test_every_room_exists():
    """docs/architecture.md lists no room that is not there."""
    assert [room for room in rooms() if not is_module(room)] == []


def test_imports_point_upwards():
    """No module imports from a room below its own, not even inside a function."""
    place = {room: i for i, room in enumerate(rooms())}
    wrong = [
        f"{name} -> {target}"
        for name, target in inner_imports()
        if room_of(name) != "cli" and place.get(room_of(target), 0) > place.get(room_of(name), 0)
    ]
    assert wrong == []


def test_the_check_sees_a_wrong_import():
    """A planted import that points downwards is found, inside a function and as a string."""
    tree = ast.parse(
        "def f():\n    from koopman_cli.cli import guard\nTABLE = {'a': 'koopman_cli.api:fit'}\n"
    )
    assert list(imported(tree)) == ["koopman_cli.cli.guard", "koopman_cli.api"]
    assert rooms().index(room_of("cli.guard")) > rooms().index(room_of("api"))
    assert room_of("features.stream") == "features.stream"


def test_report_computes_nothing():
    """``report`` sees results only: neither models nor validation."""
    wrong = [
        f"{name} -> {target}"
        for name, target in inner_imports()
        if room_of(name) == "report" and room_of(target) in ("models", "validation")
    ]
    assert wrong == []


def test_only_the_command_line_knows_click():
    """No module outside ``cli`` imports click."""
    users = {room_of(name) for name, tree in modules() if name and "click" in set(imported(tree))}
    assert users == {"cli"}


# ------------------------------------------------------------------ sizes


#: Lines of a module and of a body without its docstring, at most.
MODULE, BODY = 400, 60


def body_lines(function):
    """Lines of a function's body, its docstring not counted."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_no_module_is_long():
    """No module of the package has more than 400 lines."""
    lengths = {
        path.name: len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: n for name, n in lengths.items() if n > MODULE} == {}


def test_no_body_is_long():
    """No function of the package has a body of more than 60 lines."""
    long = {
        f"{name}.{node.name}": body_lines(node)
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and body_lines(node) > BODY
    }
    assert long == {}


# ------------------------------------------------------------------ families have no names


#: Modules outside ``models`` that may ask for a family by name, each with its reason.
NAMED: dict[str, str] = {}


def families_asked_for(tree):
    """Lines that compare something with the name of a family, or look it up by such names.

    Names stand in the comparison itself, in a constant of the module that is compared with,
    in a ``case``, or as keys of a dictionary.
    """

    def named(node, constants=()):
        return any(
            (isinstance(part, ast.Constant) and part.value in MODELS)
            or (isinstance(part, ast.Name) and part.id in constants)
            for part in ast.walk(node)
        )

    constants = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and named(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        compared = isinstance(node, ast.Compare) and named(node, constants)
        cased = isinstance(node, ast.MatchValue) and named(node)
        keyed = isinstance(node, ast.Dict) and any(named(key) for key in node.keys if key)
        if compared or cased or keyed:
            yield node.lineno


def test_families_are_not_asked_for_by_name():
    """Outside ``models`` nothing depends on which family it is: a new one is one file there."""
    asking = {
        name: lines
        for name, tree in modules()
        if room_of(name) != "models" and (lines := list(families_asked_for(tree)))
    }
    assert set(asking) == set(NAMED), asking


def test_the_check_sees_a_family_by_name():
    """Comparisons, memberships, constants, cases and tables that name a family are found."""
    tree = ast.parse(
        "FLOWS = ('dmd', 'optdmd')\n"
        "a = name == 'msm'\n"
        "b = name in ('tica', other)\n"
        "c = request.name not in FLOWS\n"
        "d = {'vamp': 1}[name]\n"
        "match name:\n    case 'edmd':\n        pass\n"
        "fine = Request.of('tica') if solver == 'eig' else 'dmd'\n"
    )
    assert sorted(families_asked_for(tree)) == [2, 3, 4, 5, 7]


def test_settings_do_not_hide_behaviour():
    """No setting of a family bears the name of something that every family does."""
    own = {f.name for f in fields(Family)}
    behaviour = {name for name in vars(Family) if not name.startswith("_")} - own
    hidden = {n: behaviour & {f.name for f in fields(family(n))} for n in MODELS}
    assert {n: names for n, names in hidden.items() if names} == {}


# ------------------------------------------------------------------ a light command line


@pytest.mark.parametrize("args", [[], *[[verb] for verb in VERBS]], ids=" ".join)
def test_help_imports_nothing_heavy(args):
    """``koopman --help`` and ``koopman VERB --help`` import no numerical or plotting package."""
    code = (
        "import sys\n"
        "from koopman_cli.cli import main\n"
        f"sys.argv = ['koopman', *{args!r}, '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"print('LOADED', *sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith(" ".join(["Usage: koopman", *args]))
    assert done.stdout.splitlines()[-1] == "LOADED"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb):
    """Every verb explains itself and every option of it has a help text."""
    command = koopman.get_command(None, verb)
    assert len(command.help or "") > 40
    silent = [p.name for p in command.params if p.param_type_name == "option" and not p.help]
    assert silent == []


def test_help_keeps_its_lines():
    """No help text shows a literal backslash-b, which click reads only as a control character."""
    script = runpy.run_path(str(ROOT / "docs" / "make_cli_reference.py"))
    assert "\\b" not in script["reference"]()


def test_cli_reference_is_current():
    """docs/cli.md is what the help texts say now (``make docs`` writes it)."""
    script = runpy.run_path(str(ROOT / "docs" / "make_cli_reference.py"))
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == script["reference"]()
