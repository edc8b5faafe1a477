"""Write into a wheel what of others it will contain: licences and a list (CycloneDX), and what it depends on.

Usage: describe.py WHEEL WORK_DIR, before auditwheel copies the libraries and writes the wheel's RECORD.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import sbom

Packages = dict[tuple[str, str], list[str]]
"""Files of the distribution by name and version of their package."""

_HOST = r"lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)\.so|ld-linux"
"""The libraries that the wheel leaves to the machine, as auditwheel does."""


def main(wheel: Path, work: Path) -> None:
    """Rewrite the wheel with its notices."""
    found = packages(wheel)
    # Packages of one source have the same text, of which Boost's is long: each text goes in once.
    names = {text: name for name, text in licence_files(found, work)}
    licences = {name: text for text, name in names.items()}
    version = wheel.name.split("-")[1]
    listed = json.dumps(contents(version, found, work), indent=2) + "\n"
    with zipfile.ZipFile(wheel) as archive:
        content = {entry: archive.read(entry) for entry in archive.infolist()}
    info = f"drml-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in content.items():
            if entry.filename == f"{info}/METADATA":
                data = metadata(data.decode(), sorted(licences)).encode()
            archive.writestr(entry, data)
        for name, text in licences.items():
            archive.writestr(f"{info}/licenses/{name}", text)
        archive.writestr(f"{info}/sboms/portable.cdx.json", listed)


def metadata(text: str, licences: list[str]) -> str:
    """Return METADATA with the licence files, and with the cv2 that needs no libraries of a desktop."""
    assert "\nLicense-File: " in text and "\nRequires-Dist: opencv-python<" in text, "METADATA is different"
    lines = "".join(f"\nLicense-File: {name}" for name in licences)
    text = text.replace("\nLicense-File: ", f"{lines}\nLicense-File: ", 1)
    return text.replace("\nRequires-Dist: opencv-python<", "\nRequires-Dist: opencv-python-headless<")


def packages(wheel: Path) -> Packages:
    """Return the libraries of the distribution that are inside, or will be."""
    found: dict[str, str] = {"Boost's headers": "/usr/include/boost/version.hpp"}
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        for path in sorted(Path(folder).rglob("*.so")):
            said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
            for name, place in re.findall(r"(\S+) => (/\S+) \(0x", said):
                if not place.startswith(folder) and not re.match(_HOST, name):
                    found[name] = place
    openblas = next(Path("/usr/lib").glob("*/openblas-openmp/libopenblas.a"))
    found[openblas.name] = str(openblas)
    owners = sbom.packages_of(found.values())
    by_package: Packages = {}
    for name, place in sorted(found.items()):
        by_package.setdefault(owners[place], []).append(name)
    return by_package


def built(work: Path) -> Iterator[tuple[str, str, str, list[Path]]]:
    """Yield name, version, licence and licence files of what build.sh compiles."""
    folder = work / "libraries/share/licenses/opencv4"
    source = next((work / "sources").glob("opencv-python-headless-*.tar.gz"))
    version = source.name.removeprefix("opencv-python-headless-").removesuffix(".tar.gz")
    files = [work / "sources/opencv/LICENSE", folder / "SoftFloat-COPYING.txt"]
    yield "opencv-python-headless", version, "Apache-2.0 AND BSD-3-Clause", files
    log = (work / "opencv.log").read_text(encoding="utf-8")
    for name, word, licence in (
        ("libjpeg-turbo", "JPEG", "IJG AND BSD-3-Clause AND Zlib"),
        ("libpng", "PNG", "libpng-2.0"),
        ("zlib", "ZLib", "Zlib"),
    ):
        number = re.search(rf"{word}: .*\(ver ([\d.]+)", log)
        assert number, f"opencv.log does not say which {name} was built"
        yield name, number[1], licence, sorted(folder.glob(f"{name}-*"))
    hdf5 = next((work / "sources").glob("hdf5_*.dsc"))
    yield "hdf5", hdf5.stem.removeprefix("hdf5_"), "BSD-3-Clause", [work / "libraries/share/COPYING"]


def licence_files(found: Packages, work: Path) -> Iterator[tuple[str, str]]:
    """Yield name and text of each licence file."""
    for name, _, _, files in built(work):
        for file in files:
            yield f"{name}/{file.name}", file.read_text(encoding="utf-8", errors="replace")
    for package, _ in found:
        name = package.partition(":")[0]
        text = (Path("/usr/share/doc") / name / "copyright").read_text(encoding="utf-8", errors="replace")
        yield f"{name}/copyright", text


def contents(version: str, found: Packages, work: Path) -> dict[str, object]:
    """Return the list as CycloneDX has it."""
    parts = [sbom.caffe_source(work / "build-drml")]
    for name, number, licence, _ in built(work):
        purl = f"pkg:{'pypi' if name.startswith('opencv') else 'generic'}/{name}@{number}"
        parts.append(
            {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": number,
                "licenses": [{"expression": licence}],
                "purl": purl,
                "properties": [{"name": "drml:role", "value": "linked statically"}],
            }
        )
    for (package, number), names in sorted(found.items()):
        copied = any(".so" in name for name in names)
        role = "copied" if copied else "linked statically"
        parts.append(sbom.debian_component(package, number, names, role))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "drml", "version": version}},
        "components": parts,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
