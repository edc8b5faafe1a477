"""What the build changes in Caffe's text: caffe_ext/patch_series.py, and the patches of caffe_ext/patches."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATCHES = sorted((ROOT / "caffe_ext/patches").glob("*.patch"))
MOST_HUNKS, LONGEST_HUNK = 64, 5

_spec = importlib.util.spec_from_file_location("patch_series", ROOT / "caffe_ext/patch_series.py")
assert _spec and _spec.loader
patch_series = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(patch_series)

TEXT = "".join(f"line {i}\n" for i in range(1, 13))
FIRST = """The second line is wrong.
Upstream: could take it.

--- a/src/a.cpp
+++ b/src/a.cpp
@@ -1,3 +1,3 @@
 line 1
-line 2
+line two
 line 3
"""
SECOND = """Something belongs after line 8.
Upstream: no.

--- a/src/a.cpp
+++ b/src/a.cpp
@@ -8,2 +8,3 @@
 line 8
+call();
 line 9
"""


class Tree:
    """A tree with one file, a series of two patches, and a build folder."""

    def __init__(self, folder: Path) -> None:
        self.series, self.source, self.build = folder / "series", folder / "source", folder / "build"
        self.series.mkdir()
        (self.source / "src").mkdir(parents=True)
        self.upstream, self.copy = self.source / "src/a.cpp", self.build / "patched/src/a.cpp"
        self.upstream.write_text(TEXT)
        (self.source / "src/b.cpp").write_text(TEXT)
        self.first, self.second = self.series / "01-first.patch", self.series / "02-second.patch"
        self.first.write_text(FIRST)
        self.second.write_text(SECOND)

    def apply(self) -> None:
        patch_series.apply(self.series, self.source, self.build)

    def export(self, patch: str | None = None) -> None:
        patch_series.export(self.series, self.source, self.build, patch)

    def edit(self, old: str, new: str) -> None:
        assert self.copy.read_text().count(old) == 1
        self.copy.write_text(self.copy.read_text().replace(old, new))


SeriesError = patch_series.SeriesError
PATCHED = TEXT.replace("line 2\n", "line two\n").replace("line 8\n", "line 8\ncall();\n")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_patches_apply_in_order_to_a_copy(tree: Tree) -> None:
    tree.apply()
    assert tree.copy.read_text() == PATCHED
    assert tree.upstream.read_text() == TEXT
    assert not (tree.build / "patched/src/b.cpp").exists()


def test_an_unchanged_copy_is_not_written_again(tree: Tree) -> None:
    tree.apply()
    written = tree.copy.stat().st_mtime_ns
    tree.apply()
    assert tree.copy.stat().st_mtime_ns == written


def test_the_copy_goes_with_the_last_patch_of_the_file(tree: Tree) -> None:
    tree.apply()
    tree.first.unlink()
    tree.second.write_text(SECOND.replace("a.cpp", "b.cpp"))
    tree.apply()
    assert not tree.copy.exists()
    assert (tree.build / "patched/src/b.cpp").exists()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("-line 2\n", "-line II\n", "Hunk #1 FAILED at 1"),
        ("@@ -1,3 +1,3 @@", "@@ -2,3 +2,3 @@", "offset -1 lines"),  # the right lines, but elsewhere
        (" line 3\n", " line III\n", "Hunk #1 FAILED at 1"),  # the context counts as well
        (" line 3\n", "line 3\n", "malformed patch"),
    ],
)
def test_a_hunk_that_does_not_fit_to_the_letter_is_refused(
    tree: Tree, old: str, new: str, fault: str
) -> None:
    tree.first.write_text(FIRST.replace(old, new))
    with pytest.raises(SeriesError) as error:
        tree.apply()
    message = str(error.value)
    assert "01-first.patch does not apply to src/a.cpp" in message
    assert fault in message
    assert "make patches" in message
    assert not tree.copy.exists()


def test_a_patch_of_a_file_that_caffe_lacks_is_refused(tree: Tree) -> None:
    tree.second.write_text(SECOND.replace("a.cpp", "c.cpp"))
    with pytest.raises(SeriesError, match=r"02-second.patch changes src/c.cpp, which Caffe does not have"):
        tree.apply()


def test_an_edit_is_not_lost(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    tree.apply()
    tree.edit("line 5\n", "line five\n")
    tree.apply()
    assert "make patches" in capsys.readouterr().out
    tree.second.write_text(SECOND.replace("call()", "other()"))
    with pytest.raises(SeriesError, match="was edited, and the patches of this file have changed as well"):
        tree.apply()
    assert tree.copy.read_text() == PATCHED.replace("line 5\n", "line five\n")


@pytest.mark.parametrize("name", ["01-first", "02-second"])
def test_an_edit_goes_into_the_named_patch(tree: Tree, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    tree.apply()
    tree.edit("line 5\n", "line five\nand more\n")
    tree.export(name)
    assert f"src/a.cpp went into {name}.patch" in capsys.readouterr().out
    expected = PATCHED.replace("line 5\n", "line five\nand more\n")
    tree.apply()
    assert capsys.readouterr().out == ""
    assert tree.copy.read_text() == expected
    named, other = (tree.first, tree.second) if name == "01-first" else (tree.second, tree.first)
    assert "+line five\n+and more\n" in named.read_text()
    assert "line five" not in other.read_text()
    # Line numbers of the patch after it move along: a new build folder gets the same text.
    tree.build.rename(tree.build.with_name("old"))
    tree.apply()
    assert tree.copy.read_text() == expected
    assert tree.first.read_text().startswith("The second line is wrong.\nUpstream: could take it.\n\n--- a/")
    assert tree.second.read_text().startswith("Something belongs after line 8.\nUpstream: no.\n\n--- a/")


def test_the_program_ends_with_the_message(tree: Tree) -> None:
    tree.first.write_text(FIRST.replace("line 1", "line I"))
    program = [sys.executable, ROOT / "caffe_ext/patch_series.py", "apply"]
    done = subprocess.run(
        [*program, tree.series, tree.source, tree.build], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith(f"{tree.first} does not apply to src/a.cpp: Hunk #1 FAILED")


def test_an_exported_patch_is_what_gnu_patch_reads(tree: Tree, tmp_path: Path) -> None:
    tree.apply()
    tree.edit("line 11\n", "")
    tree.export("01-first")
    for patch in (tree.first, tree.second):
        subprocess.run(["patch", "-p1", "-F0", "-s", "-d", tree.source, "-i", patch], check=True)
    assert tree.upstream.read_text() == PATCHED.replace("line 11\n", "")


def test_a_file_joins_and_leaves_the_series(tree: Tree) -> None:
    tree.apply()
    new = tree.build / "patched/src/b.cpp"
    new.write_text(TEXT + "more\n")
    tree.copy.write_text(PATCHED.replace("call();\n", ""))
    tree.export("02-second")
    assert "+++ b/src/b.cpp" in tree.second.read_text()
    assert "a.cpp" not in tree.second.read_text()


def test_export_without_an_edit_changes_nothing(tree: Tree) -> None:
    tree.apply()
    tree.export()
    assert (tree.first.read_text(), tree.second.read_text()) == (FIRST, SECOND)


def test_an_edit_without_a_patch_is_refused(tree: Tree) -> None:
    tree.apply()
    tree.edit("line 5\n", "line five\n")
    with pytest.raises(SeriesError, match=r"Edited: src/a\.cpp\..*01-first, 02-second"):
        tree.export()


def test_an_edit_of_what_a_later_patch_wrote_is_refused(tree: Tree) -> None:
    tree.apply()
    tree.edit("call();", "other();")
    with pytest.raises(SeriesError, match=r"in lines that a patch after 01-first\.patch changes"):
        tree.export("01-first")
    assert (tree.first.read_text(), tree.second.read_text()) == (FIRST, SECOND)


# --- The repository's own series.


def hunks(patch: Path) -> list[list[str]]:
    """The lines of each hunk, without its first, which gives the position."""
    return [
        part.splitlines()[1:] for part in re.split(r"^(?=@@ )", patch.read_text(), flags=re.MULTILINE)[1:]
    ]


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_patch_says_why(patch: Path) -> None:
    assert re.fullmatch(r"\d\d-[a-z0-9-]+", patch.stem)
    reason = patch.read_text().partition("\n--- a/")[0]
    assert re.fullmatch(r"[A-Z].*\.\nUpstream: .+\.\n", reason, flags=re.DOTALL)
    for hunk in hunks(patch):
        body = [line for line in hunk if not line.startswith(("--- a/", "+++ b/"))]
        assert not [line for line in body if not line.startswith(("+", "-", " "))]
        changed = [i for i, line in enumerate(body) if not line.startswith(" ")]
        assert changed[0] <= 1
        assert changed[-1] >= len(body) - 2  # one line of context


def test_few_and_short_hunks_change_caffe() -> None:
    """What does more than call our code belongs into a file of ours."""
    sizes = [
        sum(line.startswith(("+", "-")) and not line.startswith(("--- a/", "+++ b/")) for line in hunk)
        for patch in PATCHES
        for hunk in hunks(patch)
    ]
    assert len(sizes) <= MOST_HUNKS
    assert max(sizes) <= LONGEST_HUNK
