"""List what a build contains: build/sbom.json (CycloneDX 1.5) and a table.

Caffe's source package; the shared libraries that libcaffe, the programs and pycaffe load, with the packages
of the distribution they come from (dpkg); the Python packages of the environment this runs in; the files of
the wheel, where `make wheel` has left one. Licences are quoted as dpkg's copyright files and the packages
name them.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import platform
import re
import subprocess
import uuid
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import tomllib

ROOT = Path(__file__).resolve().parents[1]
Component = dict[str, Any]

_DOCUMENTS = Path("/usr/share/doc")


def main() -> None:
    """Parse the arguments and write the list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--build", type=Path, default=ROOT / "build", help="the build folder (default: build)"
    )
    parser.add_argument("--out", type=Path, help="the file to write (default: sbom.json in the build folder)")
    args = parser.parse_args()
    if not binaries(args.build):
        raise SystemExit(f"{args.build}: no build in it; run make first")
    content = sbom(args.build)
    out = args.out or args.build / "sbom.json"
    out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print_table(content)
    print(f"\n{len(content['components'])} components: {out}")


def sbom(build: Path) -> dict[str, Any]:
    """Return the list as CycloneDX has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    caffe = caffe_source(build)
    libraries, direct = linked(build)
    parts = [caffe, *libraries, *python_packages(), *wheel_files(build)]
    product = {
        "type": "application",
        "bom-ref": "drml",
        "name": project["name"],
        "version": project["version"],
        "licenses": [{"license": {"id": project["license"]}}],
    }
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(parts, sort_keys=True))}",
        "version": 1,
        "metadata": {
            "component": product,
            "properties": [{"name": "drml:machine", "value": f"{platform.system()} {platform.machine()}"}],
        },
        "components": parts,
        "dependencies": [{"ref": "drml", "dependsOn": [caffe["bom-ref"], *sorted(direct)]}],
    }


def caffe_source(build: Path) -> Component:
    """Return Caffe as the build folder took it (caffe_ext/source.cmake): the package, or a copy.

    The files of a copy are known by caffe_ext/source.sha256, whose digest stands for them.
    """
    text = (ROOT / "caffe_ext/source.cmake").read_text(encoding="utf-8")
    package = re.search(r'CAFFE_PACKAGE "(.+)==(.+)"', text)
    digest = re.search(r"CAFFE_PACKAGE_SHA256 ([0-9a-f]{64})", text)
    commit = re.search(r"BVLC Caffe (\S+) \(commit (\w+)\)", text)
    assert package and digest and commit, "caffe_ext/source.cmake has another form"
    if (build / "caffe/source").resolve().name == f"{package[1]}-{package[2]}":
        ref = f"pkg:pypi/{package[1]}@{package[2]}"
        origin = f"from the source package {package[1]} {package[2]}"
        content = digest[1]
    else:
        ref = f"pkg:github/bvlc/caffe@{commit[2]}"
        origin = "from a copy of its sources whose files have the digests in caffe_ext/source.sha256"
        content = hashlib.sha256((ROOT / "caffe_ext/source.sha256").read_bytes()).hexdigest()
    return {
        "type": "library",
        "bom-ref": ref,
        "name": "caffe",
        "version": commit[1],
        "description": f"BVLC Caffe at commit {commit[2]}, {origin}",
        "hashes": [{"alg": "SHA-256", "content": content}],
        "licenses": [{"license": {"id": "BSD-2-Clause"}}],
        "purl": ref,
        "properties": [{"name": "drml:role", "value": "compiled in"}],
    }


# --- shared libraries -----------------------------------------------------------------------------------


def binaries(build: Path) -> list[Path]:
    """Return the library, the programs and pycaffe's module of a build folder."""
    programs = sorted((build / "bin").glob("*")) if (build / "bin").is_dir() else []
    return [
        path
        for path in (build / "lib/libcaffe.so", build / "python/caffe/_caffe.so", *programs)
        if path.is_file()
    ]


def direct_libraries(build: Path) -> set[str]:
    """Return the names, such as ``liblmdb.so.0``, of what the build links directly; libcaffe itself not."""
    found: set[str] = set()
    for path in binaries(build):
        found.update(re.findall(r"\(NEEDED\).*\[(.+)\]", _said("readelf", "--dynamic", "--wide", str(path))))
    return {name for name in found if not name.startswith("libcaffe")}


def linked(build: Path) -> tuple[list[Component], set[str]]:
    """Return a component for each package of the distribution, and the refs of those linked directly."""
    places: dict[str, str] = {}
    for path in binaries(build):
        for line in _said("ldd", str(path)).splitlines():
            if match := re.match(r"\s*(?:(\S+) => )?(/\S+) \(0x", line):
                places[match[1] or Path(match[2]).name] = match[2]
    own = build.resolve()
    places = {name: place for name, place in places.items() if own not in Path(place).resolve().parents}
    direct = direct_libraries(build)
    files: dict[tuple[str, str], list[str]] = {}
    packages = packages_of(places.values())
    for name, place in sorted(places.items()):
        files.setdefault(packages.get(place, (name, "")), []).append(name)
    components, refs = [], set()
    for (package, version), names in sorted(files.items()):
        role = "linked" if direct & set(names) else "loaded by what is linked"
        component = debian_component(package, version, names, role)
        components.append(component)
        if role == "linked":
            refs.add(component["bom-ref"])
    return components, refs


def debian_component(package: str, version: str, names: list[str], role: str) -> Component:
    """Return the component of a package (name:architecture) with the files that are used of it."""
    component: Component = {
        "type": "library",
        "bom-ref": f"file:{package}",
        "name": package.partition(":")[0],
        "version": version or "unknown",
        "licenses": [{"license": {"name": name}} for name in debian_licences(package.partition(":")[0])],
        "properties": [
            {"name": "drml:role", "value": role},
            {"name": "drml:files", "value": " ".join(names)},
        ],
    }
    if version:
        name, _, architecture = package.partition(":")
        vendor = platform.freedesktop_os_release().get("ID", "debian")
        purl = f"pkg:deb/{vendor}/{quote(name)}@{quote(version)}" + (
            f"?arch={architecture}" if architecture else ""
        )
        component.update({"bom-ref": purl, "purl": purl})
    return component


def packages_of(places: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return name:architecture and version of each library's package, where dpkg knows it."""
    # dpkg knows a file by the name it was packed under: /lib/..., even where /lib is now a link to /usr/lib.
    names = {
        place: {
            one.removeprefix(prefix) for one in (place, str(Path(place).resolve())) for prefix in ("", "/usr")
        }
        for place in places
    }
    said = _said("dpkg-query", "--search", *sorted(set().union(*names.values())), check=False)
    owner = {line.rpartition(": ")[2]: line.rpartition(": ")[0].split(", ")[0] for line in said.splitlines()}
    found = {place: owner[name] for place, known in names.items() for name in sorted(known) if name in owner}
    if not found:
        return {}
    said = _said(
        "dpkg-query",
        "--show",
        "--showformat=${binary:Package}\t${Package}:${Architecture}\t${Version}\n",
        *found.values(),
    )
    versions: dict[str, tuple[str, str]] = {}
    for line in said.splitlines():
        name, full, version = line.split("\t")
        versions[name] = versions[full] = (full, version)
    return {place: versions[name] for place, name in found.items() if name in versions}


def debian_licences(package: str) -> list[str]:
    """Return the licences that a package's copyright file names, that of most files first."""
    path = _DOCUMENTS / package / "copyright"
    elsewhere = f"see {path}"
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ["unknown"]
    if not text.lstrip().startswith("Format"):
        return [elsewhere]
    names: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        licence = re.search(r"^License: *(\S.*)$", paragraph, re.MULTILINE)
        files = re.search(r"^Files: *(\S.*)$", paragraph, re.MULTILINE)
        # Of the packaging (debian/*) and of build scripts, nothing is in the library.
        if licence and files and not files[1].startswith("debian/"):
            names.insert(0, licence[1].strip()) if files[1].strip() == "*" else names.append(
                licence[1].strip()
            )
    return list(dict.fromkeys(names)) or [elsewhere]


def _said(*command: str, check: bool = True) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=check)
    except FileNotFoundError:
        if check:
            raise SystemExit(f"{command[0]} not found; install binutils and run this again") from None
        return ""
    return done.stdout


# --- Python packages and the wheel ----------------------------------------------------------------------


def python_packages() -> Iterator[Component]:
    """Yield a component for each package of the environment, drml itself not."""
    found = {
        re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower(): package
        for package in importlib.metadata.distributions()
    }
    found.pop("drml", None)
    for name, package in sorted(found.items()):
        purl = f"pkg:pypi/{name}@{package.version}"
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": package.version,
            "licenses": python_licences(package.metadata),
            "purl": purl,
            "properties": [{"name": "drml:role", "value": "Python package"}],
        }


def python_licences(metadata: Any) -> list[dict[str, Any]]:
    """Return what a package says: the expression, else the classifiers, else the first line of free text."""
    if expression := metadata.get("License-Expression"):
        return [{"expression": expression}]
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier") or []
        if line.startswith("License ::") and line != "License :: OSI Approved"
    ]
    text = (metadata.get("License") or "").strip().partition("\n")[0].strip()
    names = classifiers or [text[:80] or "unknown"]
    return [{"license": {"name": name}} for name in names]


def wheel_files(build: Path) -> Iterator[Component]:
    """Yield a component for each file of the wheel, where there is one."""
    for wheel in sorted(build.glob("drml-*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                content = archive.read(entry)
                yield {
                    "type": "file",
                    "bom-ref": f"{wheel.name}/{entry.filename}",
                    "name": entry.filename,
                    "version": wheel.name.split("-")[1],
                    "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}],
                    "properties": [{"name": "drml:role", "value": f"in {wheel.name}"}],
                }


def print_table(content: dict[str, Any]) -> None:
    """Print a line a component: role, name, version, licences; the wheel's files as a number."""
    files = 0
    print(f"{'what':<26}{'name':<28}{'version':<28}licence")
    for part in content["components"]:
        if part["type"] == "file":
            files += 1
            continue
        role = next(one["value"] for one in part["properties"] if one["name"] == "drml:role")
        licences = [
            one.get("expression") or one["license"].get("id") or one["license"]["name"]
            for one in part["licenses"]
        ]
        more = f" and {len(licences) - 3} more" if len(licences) > 3 else ""
        print(f"{role:<26}{part['name']:<28}{part['version']:<28}{', '.join(licences[:3])}{more}")
    print(
        f"{files} files in the wheel"
        if files
        else "no wheel in the build folder: make wheel, then its files are listed"
    )


if __name__ == "__main__":
    main()
