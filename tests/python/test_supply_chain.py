"""What is installed is pinned or bounded; what a build contains is listed and named in NOTICE."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from email import message_from_string
from email.message import Message
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tomllib
from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
LOCKS = (
    "requirements.lock",
    "tools/face_model.txt",
    "tools/portable_wheel/opencv.txt",
    "tools/portable_wheel/repair.txt",
)


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


sbom = tool("sbom")
built = pytest.mark.skipif(not sbom.binaries(ROOT / "build"), reason="nothing is built in build/")


def pinned(name: str) -> dict[str, list[tuple[str, Marker | None]]]:
    """Package -> its versions, each with the marker that says where it is installed."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found: dict[str, list[tuple[str, Marker | None]]] = {}
    for line in lines:
        match = re.fullmatch(
            r"([a-z0-9-]+)==(\S+)(?: ; ([^\\]*?))?(?:\s+--hash=sha256:[0-9a-f]{64})+\s*", line
        )
        assert match, f"{name}: {line[:80]}: not a pin with hashes"
        found.setdefault(match[1], []).append((match[2], Marker(match[3]) if match[3] else None))
    return found


def versions_on(pins: list[tuple[str, Marker | None]], python: str) -> list[str]:
    """Return the versions that pip installs on Linux with this version of Python."""
    where = {"python_version": python, "python_full_version": f"{python}.4", "sys_platform": "linux"}
    return [version for version, marker in pins if marker is None or marker.evaluate(where)]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_by_version_and_hash_and_names_no_server(name: str) -> None:
    assert pinned(name)
    text = (ROOT / name).read_text()
    assert not re.search(r"://|/opt/|/home/|\.whl|--(?:extra-)?index|--find-links|--trusted", text)


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_the_lock_holds_what_pyproject_asks_for_on_each_python(python: str) -> None:
    lock = pinned("requirements.lock")
    asked = [*PROJECT["project"]["dependencies"], *EXTRAS["dev"], *PROJECT["build-system"]["requires"]]
    for requirement in map(Requirement, asked):
        name = normal(requirement.name)
        assert name in lock, f"{name} is not locked; run make lock"
        (version,) = versions_on(lock[name], python)
        assert requirement.specifier.contains(version), f"{requirement}: locked {version}"


def test_the_lock_chooses_one_version_of_a_package() -> None:
    for name, pins in pinned("requirements.lock").items():
        for python in ("3.10", "3.11", "3.12", "3.13", "3.14"):
            assert len(versions_on(pins, python)) <= 1, f"{name} on Python {python}"


def test_the_environment_of_the_tests_is_the_locked_one() -> None:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    lock = pinned("requirements.lock")
    for name in ("numpy", "scikit-learn", "opencv-python", "pytest"):
        assert versions_on(lock[name], python) == [importlib.metadata.version(name)]


def test_every_requirement_has_an_upper_bound() -> None:
    asked = [*PROJECT["project"]["dependencies"], *(one for extra in EXTRAS.values() for one in extra)]
    asked += [one for one in PROJECT["build-system"]["requires"] if not one.startswith("pip>=")]
    for requirement in map(Requirement, asked):
        assert any(one.operator in ("<", "<=", "==") for one in requirement.specifier), str(requirement)


@pytest.mark.parametrize("script", ["cuda_libraries.sh", "lock.sh"])
def test_what_scripts_install_is_bounded(script: str) -> None:
    text = (ROOT / "tools" / script).read_text()
    names = re.findall(r"""packages\+=\("([^"]+)"\)|pip install[^\n']*'([^']+)'""", text)
    assert names
    for name in (a or b for a, b in names):
        assert "<" in name or "==" in name, f"tools/{script}: {name}"


def test_caffe_is_named_as_the_build_took_it(tmp_path: Path) -> None:
    """A package is known by its own digest, and a copy of BVLC's sources by those of its files."""
    link = tmp_path / "caffe/source"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "caffe/brocolli-caffe-3.0.0")
    caffe = sbom.caffe_source(tmp_path)
    assert caffe["version"] == "1.0"
    assert caffe["purl"] == caffe["bom-ref"] == "pkg:pypi/brocolli-caffe@3.0.0"
    assert caffe["hashes"] == [
        {"alg": "SHA-256", "content": "ad7ba487552f4343df25044a9fa14812a96add48ea2ff993b53bf2dafe8248e2"}
    ]
    link.unlink()
    link.symlink_to(tmp_path / "caffe/unpacked-0123")
    copy = sbom.caffe_source(tmp_path)
    assert copy["purl"] == "pkg:github/bvlc/caffe@9b89154"
    known = subprocess.run(
        ["sha256sum", ROOT / "caffe_ext/source.sha256"], capture_output=True, text=True, check=True
    )
    assert copy["hashes"] == [{"alg": "SHA-256", "content": known.stdout.split()[0]}]
    for one in (caffe, copy):
        assert "9b89154" in one["description"]


# --- the list of what a build contains


@pytest.fixture(scope="module")
def listed() -> dict[str, Any]:
    content: dict[str, Any] = sbom.sbom(ROOT / "build")
    return content


@built
def test_the_list_has_what_cyclonedx_requires(listed: dict[str, Any]) -> None:
    assert (listed["bomFormat"], listed["specVersion"], listed["version"]) == ("CycloneDX", "1.5", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", listed["serialNumber"])
    refs = [part["bom-ref"] for part in listed["components"]]
    assert len(set(refs)) == len(refs)
    for part in listed["components"]:
        assert part["type"] in ("library", "file")
        assert part["name"] and part["version"]
        for one in part.get("licenses", []):
            assert len(one) == 1 and (one.get("expression") or len(one["license"]) == 1), part
        if part["type"] == "library":
            assert part["licenses"], part["name"]
    for one in listed["dependencies"]:
        assert {one["ref"], *one["dependsOn"]} <= {"drml", *refs}


@built
def test_the_list_names_source_libraries_and_packages(listed: dict[str, Any]) -> None:
    roles: dict[str, set[str]] = {}
    for part in listed["components"]:
        roles.setdefault(part["properties"][0]["value"], set()).add(part["name"])
    assert roles["compiled in"] == {"caffe"}
    assert {"numpy", "h5py", "lmdb"} <= roles["Python package"]
    assert "drml" not in roles["Python package"]
    linked = " ".join(one for part in listed["components"] for one in [str(part.get("properties"))])
    for name in sbom.direct_libraries(ROOT / "build"):
        assert name in linked, f"{name} is linked and not listed"


@built
def test_notice_names_every_library_that_is_linked() -> None:
    notice = (ROOT / "NOTICE").read_text()
    names = sbom.direct_libraries(ROOT / "build")
    assert {"liblmdb.so.0", "libc.so.6"} <= names or not Path("/etc/debian_version").exists()
    for name in names:
        # libboost_python311.so.1.74.0 -> libboost_python, ld-linux-x86-64.so.2 -> ld-linux
        stem = re.sub(r"(-x86-64)?\.so.*|-?[\d.]+\.so.*", "", name)
        assert re.search(rf"\b{re.escape(stem)}(?!\w)", notice), f"NOTICE does not name {stem}"


def test_licences_of_the_distribution_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sbom, "_DOCUMENTS", tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/copyright").write_text(
        "Format: x\n\nFiles: src/b*\nLicense: Expat\n\n"
        "Files: *\nCopyright: me\nLicense: BSD-3-clause\n text\n\n"
        "Files: debian/*\nLicense: GPL-2+\n\nLicense: Expat\n the text\n"
    )
    assert sbom.debian_licences("a") == ["BSD-3-clause", "Expat"]
    (tmp_path / "a/copyright").write_text("This is free software.\n")
    assert sbom.debian_licences("a") == [f"see {tmp_path}/a/copyright"]
    assert sbom.debian_licences("none") == ["unknown"]


def test_licences_of_python_packages_are_read() -> None:
    metadata = Message()
    assert sbom.python_licences(metadata) == [{"license": {"name": "unknown"}}]
    metadata["License"] = "MIT License\n\nPermission is hereby granted"
    assert sbom.python_licences(metadata) == [{"license": {"name": "MIT License"}}]
    metadata["Classifier"] = "License :: OSI Approved :: BSD License"
    assert sbom.python_licences(metadata) == [{"license": {"name": "BSD License"}}]
    metadata["License-Expression"] = "MIT OR Apache-2.0"
    assert sbom.python_licences(metadata) == [{"expression": "MIT OR Apache-2.0"}]


def test_the_wheel_takes_the_licences_along() -> None:
    assert PROJECT["project"]["license-files"] == ["LICENSE", "NOTICE"]
    assert 'install(FILES "${CAFFE_SOURCE}/LICENSE"' in (ROOT / "caffe_ext/wheel.cmake").read_text()


def test_the_portable_wheel_names_its_licences_and_asks_for_the_cv2_without_windows() -> None:
    text = "License-File: LICENSE\nLicense-File: NOTICE\nRequires-Dist: opencv-python<6,>=4.8\n\nText\n"
    text = f"Name: drml\n{text}"
    message = message_from_string(
        tool("portable_wheel/describe").metadata(text, ["hdf5/COPYING", "x/copyright"])
    )
    assert message.get_all("License-File") == ["hdf5/COPYING", "x/copyright", "LICENSE", "NOTICE"]
    assert message.get_all("Requires-Dist") == ["opencv-python-headless<6,>=4.8"]
    assert message.get_payload() == "Text\n"
