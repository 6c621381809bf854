"""The rules that keep the structure: who may import what, and how long a module may be."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.simulator.server_process import REPOSITORY

MOST_LINES = 300
MODULES = [file for room in ("server", "model", "tools") for file in sorted((REPOSITORY / room).rglob("*.py"))]
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))
COMMANDS = {f"tools.{file.stem}" for file in (REPOSITORY / "tools").glob("*.py") if file.stem != "__init__"}


def parts(file: Path) -> tuple[str, ...]:
    """The folders of a file within the repository, and its name."""
    return file.relative_to(REPOSITORY).parts


def name(file: Path) -> str:
    return "/".join(parts(file))


def statements(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Statements, and those inside of them; expressions, most of a tree's nodes, cannot import."""
    for node in nodes:
        yield node
        for inside in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from statements(getattr(node, inside, ()))


@functools.cache
def imports(file: Path) -> tuple[tuple[str, str | None], ...]:
    """Each module that a file imports, and the name that it takes from it."""
    found: list[tuple[str, str | None]] = []
    for node in statements(ast.parse(file.read_text()).body):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.module, alias.name) for alias in node.names]
    return tuple(found)


def test_modules_are_short():
    lengths = {name(file): len(file.read_text().splitlines()) for file in MODULES}
    assert {file: lines for file, lines in lengths.items() if lines > MOST_LINES} == {}


def test_nobody_imports_a_private_name():
    taken = [(name(file), taken) for file in MODULES + TESTS for _, taken in imports(file)]
    assert [(file, what) for file, what in taken if what and what.startswith("_") and not what.startswith("__")] == []


def test_each_part_of_the_server_imports_what_its_row_in_the_table_allows():
    table = (REPOSITORY / "docs" / "contributing.md").read_text()
    rows = dict(re.findall(r"(?m)^\| `(server/\S+)` \|.*\| (.*) \|$", table))
    for file in MODULES:
        if not name(file).startswith("server/") or file.name == "__init__.py":
            continue
        (part,) = [part for part in rows if name(file).startswith(part)]
        may = [
            each if each in ("server", "model") else f"server/{each}" for each in re.findall("`([^`]+)`", rows[part])
        ]
        prefixes = tuple(each.removesuffix(".py").rstrip("/").replace("/", ".") + "." for each in [part, *may])
        ours = {module for module, _ in imports(file) if module.split(".")[0] in ("server", "model")}
        assert {module for module in ours if not f"{module}.".startswith(prefixes)} == set(), name(file)


def test_only_the_wire_knows_the_event_loop_and_socket_io():
    for file in MODULES:
        modules = {module.split(".")[0] for module, _ in imports(file)}
        if "wire" not in parts(file) and file.name != "app.py":  # app.py puts Socket.IO and Flask together
            assert not modules & {"eventlet", "socketio", "engineio"} or "tools" in parts(file), name(file)
        assert "eventlet" not in modules or file.name == "green.py", name(file)


def test_progress_bars_are_made_in_one_place_which_leaves_them_out_of_logs():
    assert [name(file) for file in MODULES if "tqdm" in dict(imports(file))] == ["model/bars.py"]


def test_command_lines_are_made_in_one_place_which_refuses_abbreviations():
    makers = [name(file) for file in MODULES if "argparse.ArgumentParser(" in file.read_text()]
    assert makers == ["model/command.py"]


def test_decisions_and_sight_are_pure():
    """No sockets, threads, HTTP or clocks of their own: time comes in with the event."""
    for file in MODULES:
        if "flight" in parts(file) or ("sight" in parts(file) and file.name not in ("perception.py", "frame_queue.py")):
            modules = {module.split(".")[0] for module, _ in imports(file)}
            assert not modules & {"socket", "threading", "flask", "time", "concurrent", "queue"}, name(file)


def test_a_session_is_imported_without_libraries_of_the_network_the_loop_and_the_web():
    program = "import sys, server.flight.session; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert not set(loaded.stdout.split()) & {"eventlet", "flask", "socketio", "tensorflow", "keras", "openvino"}


def test_the_model_knows_nothing_of_the_server_and_neither_knows_the_tools():
    for file in MODULES:
        rooms = {module.split(".")[0] for module, _ in imports(file)}
        if "model" in parts(file)[:1]:
            assert not rooms & {"server", "tools"}, name(file)
        if "server" in parts(file)[:1]:
            assert "tools" not in rooms, name(file)


def test_no_command_imports_another():
    for file in MODULES:
        others = {module for module, _ in imports(file)} | {f"{module}.{taken}" for module, taken in imports(file)}
        assert not others & COMMANDS, name(file)


def test_only_the_search_knows_optuna():
    for file in MODULES:
        modules = {module.split(".")[0] for module, _ in imports(file)}
        assert not modules & {"optuna", "plotly"} or "tuning" in parts(file), name(file)


def test_only_the_fleet_the_search_and_flights_on_a_cluster_know_ray_and_nobody_imports_the_fleet():
    for file in MODULES:
        modules = {module for module, _ in imports(file)} | {f"{module}.{taken}" for module, taken in imports(file)}
        may_know = name(file) in ("server/fleet.py", "tools/simulator/cluster.py") or "tuning" in parts(file)
        assert may_know or not any(each.split(".")[0] == "ray" for each in modules), name(file)
        assert "server.fleet" not in modules, name(file)
