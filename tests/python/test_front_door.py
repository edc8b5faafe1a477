"""`import drml`: its public names, what importing it costs, and the page that documents them."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import drml

ROOT = Path(__file__).parents[2]
NAMES = sorted(set(drml.__all__) - {"__version__"})


def in_new_process(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return result.stdout


def test_importing_drml_loads_nothing_heavy_and_changes_no_environment():
    code = (
        "import json, os, sys; before = dict(os.environ); import drml;"
        "print(json.dumps([sorted(sys.modules), before == dict(os.environ)]))"
    )
    loaded, same = json.loads(in_new_process(code))
    assert not {"numpy", "cv2", "caffe", "sklearn", "pandas", "matplotlib", "lmdb"} & set(loaded)
    assert same


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_imported_when_it_is_used(name):
    code = f"import drml; assert '{name}' not in vars(drml); drml.{name}; assert '{name}' in vars(drml)"
    in_new_process(code)
    value = getattr(drml, name)
    assert value.__name__ == name and value.__module__.startswith("drml.")
    assert name in dir(drml)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Detecter'"):
        _ = drml.Detecter


def test_the_api_page_lists_every_public_name():
    page = (ROOT / "docs/api/index.rst").read_text()
    assert sorted(re.findall(r"^\.\. auto(?:class|function):: (\w+)", page, re.MULTILINE)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_name_has_an_example(name):
    assert "\nExamples\n" in inspect.cleandoc(getattr(drml, name).__doc__)


def test_the_api_page_builds_without_warnings(tmp_path):
    """An entry without a docstring, a parameter or what it returns is a warning; see docs/api/conf.py."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    result = subprocess.run(
        [*command, str(ROOT / "docs/api"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "index.html").read_text()
    for name in NAMES:
        assert f'id="drml.{name}"' in page
