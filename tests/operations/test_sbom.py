"""The list of what is in the image (SBOM): `make sbom`."""

import json
import re
import subprocess
from pathlib import Path

from tests.operations.processes import ROOT


def test_the_sbom_lists_every_package_of_the_image_with_its_hashes(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    recipe = subprocess.run(
        ["make", "-n", "sbom"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    (command,) = [line.strip() for line in recipe if "cyclonedx-py" in line]
    command = command.replace("var/newsstand.cdx.json", str(file))
    made = subprocess.run(command.split(), cwd=ROOT, check=False, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr

    sbom = json.loads(file.read_text())
    listed = {part["name"]: part for part in sbom["components"]}
    locked = dict(
        re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements" / "runtime.lock").read_text(), re.MULTILINE)
    )
    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["name"] == "newsstand"
    assert {name: part["version"] for name, part in listed.items()} == locked
    assert all(part["purl"] == f"pkg:pypi/{name}@{part['version']}" for name, part in listed.items())
    assert all(part["externalReferences"][0]["hashes"] for part in listed.values())
