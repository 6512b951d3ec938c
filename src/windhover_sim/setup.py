import xml.etree.ElementTree as ET

from setuptools import find_packages, setup

MANIFEST = ET.parse("package.xml").getroot()
PACKAGE = MANIFEST.findtext("name", "")

setup(
    name=PACKAGE,
    version=MANIFEST.findtext("version", ""),
    description=MANIFEST.findtext("description", ""),
    license=MANIFEST.findtext("license", ""),
    maintainer="Windhover maintainers",
    maintainer_email="maintainers@users.noreply.github.com",
    packages=find_packages(exclude=["tests", "tests.*"]),
    package_data={"": ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    python_requires=">=3.10",
    install_requires=[
        # PyPI's windhover is a stranger's: never take that for ours.
        f"windhover=={MANIFEST.findtext('version')}",
        "numpy",
        "opencv-python-headless",
    ],
    extras_require={
        # Only for blob_bundle, an exact detector for tests and benchmarks.
        "bundle": ["onnx"],
        "test": ["pytest", "hypothesis"],
    },
    zip_safe=False,
    entry_points={"windhover.sources": ["scene = windhover_sim.rendered:SCENE"]},
)
