"""Applies the patches of caffe_ext/patches to copies of Caffe's files, and exports them again after an edit.

    patch_series.py apply SERIES SOURCE BUILD            when CMake configures
    patch_series.py export SERIES SOURCE BUILD [PATCH]   make patches

SERIES is the folder of the patches, which apply in the order of their names. SOURCE is Caffe's tree, which
is only read. BUILD holds two copies of each file that the patches change: `patched`, which the compiler
reads and a developer edits, and `applied`, the unedited result of the patches.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = re.compile(r"^\+\+\+ b/(\S+)$", re.MULTILINE)
# GNU patch looks for a hunk's place by itself. Each place is known to the line, so that an offset is a fault.
FAULT = re.compile(r"^.*(?:offset|FAILED|[Rr]eversed).*$", re.MULTILINE)


class SeriesError(Exception):
    """A fault that the developer can correct: the message says how."""


def run(command: list[str | Path], codes: tuple[int, ...] = (0,)) -> str:
    """Run a command and return its output; any exit status but `codes` is an error."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
        )
    except FileNotFoundError:
        raise SeriesError(f"The program '{command[0]}' is missing; install it.") from None
    if done.returncode not in codes:
        raise SeriesError(done.stdout + done.stderr)
    return done.stdout


def files_of(tree: Path) -> set[str]:
    """Paths of all files below `tree`, relative to it."""
    return {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}


def write_if_changed(path: Path, text: str) -> None:
    """Leave a file that holds the text alone, so that nothing is rebuilt idly."""
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def patches_of(series: Path) -> list[Path]:
    """Return the patches of a series, in their order."""
    return sorted(series.glob("*.patch"))


def apply_patch(patch: Path, source: Path, tree: Path) -> None:
    """Apply a patch to the files in `tree`, where files come from `source` when a patch first names them."""
    for name in TARGET.findall(patch.read_text()):
        if not (source / name).is_file():
            raise SeriesError(f"{patch} changes {name}, which Caffe does not have.")
        if not (tree / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, tree / name)
    options = ["--strip=1", "--fuzz=0", "--force", "--no-backup-if-mismatch", "--reject-file=-"]
    try:
        output = run(["patch", *options, f"--directory={tree}", f"--input={patch.resolve()}"])
        fault = FAULT.search(output)
    except SeriesError as error:
        output = str(error)
        fault = FAULT.search(output) or re.search(".*$", output.strip())
    if fault:
        before = output[: fault.start()]
        file = before[before.rfind("patching file") :].split("\n")[0].removeprefix("patching file ")
        raise SeriesError(
            f"{patch} does not apply{f' to {file}' if file else ''}: {fault.group(0).strip()}\n"
            f"Its hunks must agree with Caffe's text and with the patches before it, line by line. {EDIT}"
        )


EDIT = "Edit the file's copy in the build folder and run `make patches` instead of editing a patch."


def apply(series: Path, source: Path, build: Path) -> None:
    """Bring BUILD/patched to the state that the patches describe; keep what a developer has edited there."""
    patched, applied = build / "patched", build / "applied"
    build.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build) as folder:
        new = Path(folder)
        for patch in patches_of(series):
            apply_patch(patch, source, new)
        names = files_of(new)
        for name in sorted(names | files_of(patched)):
            text = (new / name).read_text() if name in names else None
            before = (applied / name).read_text() if (applied / name).is_file() else None
            now = (patched / name).read_text() if (patched / name).is_file() else None
            if now is None or now in (before, text) or not applied.is_dir():
                if text is None:
                    (patched / name).unlink()
                else:
                    write_if_changed(patched / name, text)
            elif text == before:
                print(f"{patched / name} differs from the patches: `make patches` exports the edit.")
            else:
                raise SeriesError(
                    f"{patched / name} was edited, and the patches of this file have changed as well. "
                    f"Undo one of the two: delete the file to drop the edit."
                )
        for name in files_of(applied) - names:
            (applied / name).unlink()
        for name in names:
            write_if_changed(applied / name, (new / name).read_text())


def stages(series: Path, source: Path, folder: Path) -> list[Path]:
    """Trees in `folder`: before the first patch (with no files), and behind each patch."""
    trees = [folder / "source"]
    trees[0].mkdir()
    for patch in patches_of(series):
        trees.append(folder / patch.stem)
        shutil.copytree(trees[-2], trees[-1])
        apply_patch(patch, source, trees[-1])
    return trees


def text_of(tree: Path, source: Path, name: str) -> Path:
    """Return the path of a file in a stage: Caffe's own if no patch has changed it yet."""
    return tree / name if (tree / name).is_file() else source / name


def carry_edit(edited: Path, old: Path, stage: Path, into: Path, patch: Path) -> None:
    """Make the edit that leads from `old` to `edited` in a file of a stage as well."""
    merged = run(["diff3", "--merge", stage, old, edited], codes=(0, 1))
    if "<<<<<<< " in merged:
        raise SeriesError(
            f"The edit of {edited} is in lines that a patch after {patch.name} changes. Name that patch: "
            f"`make patches PATCH=NN-what`."
        )
    write_if_changed(into, merged)


def export(series: Path, source: Path, build: Path, target: str | None) -> None:
    """Put the edits in BUILD/patched into the patch `target`; write all patches in their normal form."""
    patched, applied = build / "patched", build / "applied"
    patches = patches_of(series)
    edited = sorted(
        name
        for name in files_of(patched)
        if (patched / name).read_text() != text_of(applied, source, name).read_text()
    )
    chosen = [patch for patch in patches if target in (patch.stem, patch.name)]
    if edited and not chosen:
        raise SeriesError(
            f"Edited: {', '.join(edited)}. Say which patch the edit belongs to: make patches PATCH=NN-what, "
            f"one of {', '.join(patch.stem for patch in patches)}. For a new concern, first write the file "
            f"{series}/NN-what.patch with one paragraph that gives the reason."
        )
    with tempfile.TemporaryDirectory(dir=build) as folder:
        trees = stages(series, source, Path(folder))
        for name in edited:
            old = text_of(trees[-1], source, name)
            for tree in trees[patches.index(chosen[0]) + 1 :]:  # ends with that of `old`
                carry_edit(patched / name, old, text_of(tree, source, name), tree / name, chosen[0])
        for patch, before, after in zip(patches, trees[:-1], trees[1:], strict=True):
            reason = patch.read_text().partition("\n--- a/")[0].rstrip()
            hunks = [
                run(
                    [
                        "diff",
                        "-U1",
                        f"--label=a/{name}",
                        f"--label=b/{name}",
                        text_of(before, source, name),
                        after / name,
                    ],
                    codes=(0, 1),
                )
                for name in sorted(files_of(after))
            ]
            write_if_changed(patch, f"{reason}\n\n{''.join(hunks)}")
    for name in edited:
        write_if_changed(applied / name, (patched / name).read_text())
    print(
        f"{len(patches)} patches in {series}"
        + (f"; {', '.join(edited)} went into {chosen[0].name}" if edited else "")
    )


if __name__ == "__main__":
    action, *paths = sys.argv[1:]
    folders = [Path(path) for path in paths[:3]]
    try:
        if action == "apply":
            apply(*folders)
        else:
            export(*folders, paths[3] if len(paths) > 3 and paths[3] else None)
    except SeriesError as error:
        sys.exit(f"{error}".strip())
