"""Stages that run one after another; a second run skips the stages that are done.

A stage is done if it has ended, its outputs exist, and its inputs have not changed since. The state of each stage is in
a small JSON file, which is written before a stage begins and after it has ended.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from model.command import print_text
from model.pair_files import is_litter, replace_file


class Stage(NamedTuple):
    """A part of the work.

    Args:
        name: unique name of the stage.
        purpose: what it does, for people.
        inputs: returns everything that its result depends on, ready for JSON; called when the stages before are done.
        outputs: files or folders that it makes.
        work: does the work. Its argument says whether the same work was begun before and may go on.
    """

    name: str
    purpose: str
    inputs: Callable[[], Any]
    outputs: Sequence[Path]
    work: Callable[[bool], None]


def run_stages(stages: Sequence[Stage], state_file: Path) -> None:
    """Run the stages that are not done, in order, and print a line for each stage.

    Raises:
        ValueError: if the file of the state is no JSON.
        Exception: as the work of a stage; the next run begins with that stage.
    """
    state = read_state(state_file)
    for number, stage in enumerate(stages, start=1):
        title = f"[{number}/{len(stages)}] {stage.name}"
        inputs, before = json.loads(json.dumps(stage.inputs())), state.get(stage.name, {})
        is_same = before.get("inputs") == inputs
        if is_same and before["is_done"] and all(output.exists() for output in stage.outputs):
            print_text(f"{title}: done before")
            continue
        print_text(f"{title}: {stage.purpose}")
        state[stage.name] = {"inputs": inputs, "is_done": False}
        write_state(state_file, state)
        stage.work(is_same and not before["is_done"])
        state[stage.name]["is_done"] = True
        write_state(state_file, state)


def read_state(file: Path) -> dict[str, Any]:
    """Read the state of each stage, by its name; empty if there is no file.

    Raises:
        ValueError: if the file has other content.
    """
    try:
        state = json.loads(file.read_bytes())
        if isinstance(state, dict) and all(each.keys() == {"inputs", "is_done"} for each in state.values()):
            return state
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError):
        pass
    raise ValueError(f"expected the stages that are done in {file}, got something else: begin anew in another folder")


def write_state(file: Path, state: dict[str, Any]) -> None:
    """Write the state of each stage; a kill leaves the old file or the new one."""
    replace_file(file, (json.dumps(state, indent=1) + "\n").encode())


def fingerprint(*paths: Path) -> str:
    """Digest of the names, sizes and times of files, and of all files in folders; it changes if any of them changes.

    Files of file managers do not count: looking at a folder must not repeat hours of work.

    Raises:
        FileNotFoundError: if a path does not exist.
    """
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            name, status = file.relative_to(path), file.stat()
            if not file.is_dir() and not any(map(is_litter, name.parts)):
                digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
