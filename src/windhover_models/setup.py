import xml.etree.ElementTree as ET
from pathlib import Path

from setuptools import setup

MANIFEST = ET.parse("package.xml").getroot()
PACKAGE = MANIFEST.findtext("name", "")

# Each bundle's folder as it is, a second look's inside too: bundle.yaml holds the hashes of files.
BUNDLES = [
    (f"share/{PACKAGE}/{folder}", sorted(str(path) for path in folder.iterdir() if path.is_file()))
    for folder in [Path("models"), *sorted(Path("models").glob("**/*/"))]
    if folder.is_dir()
]

setup(
    name=PACKAGE,
    version=MANIFEST.findtext("version", ""),
    description=MANIFEST.findtext("description", ""),
    license=MANIFEST.findtext("license", ""),
    maintainer="Windhover maintainers",
    maintainer_email="maintainers@users.noreply.github.com",
    packages=[],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *BUNDLES,
    ],
    python_requires=">=3.10",
    zip_safe=False,
)
