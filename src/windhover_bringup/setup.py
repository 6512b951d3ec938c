import xml.etree.ElementTree as ET
from pathlib import Path

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
        (f"share/{PACKAGE}/launch", sorted(map(str, Path("launch").glob("*.launch.py")))),
        (f"share/{PACKAGE}/config", sorted(map(str, Path("config").glob("*.[xy]*ml")))),
        (f"share/{PACKAGE}/config/sros2", sorted(map(str, Path("config").glob("sros2/*")))),
        (f"share/{PACKAGE}/config/systemd", sorted(map(str, Path("config").glob("systemd/*")))),
    ],
    python_requires=">=3.10",
    install_requires=[
        # PyPI's windhover is a stranger's: never take that for ours.
        f"windhover=={MANIFEST.findtext('version')}",
        "windhover_ros",
        "windhover_cameras",
        "windhover_detector",
        "windhover_pairing",
        "windhover_tracker",
        "mcap",
        "typer",
        "rich",
    ],
    extras_require={
        # Scores, reports and rendered scenes: replay, evaluate, calibrate, benchmark, demo.
        "evaluation": ["windhover_evaluation", "windhover_sim"],
        "test": ["pytest", "hypothesis"],
    },
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "windhover = windhover_bringup.cli:main",
            "monitor = windhover_bringup.monitor.node:main",
            "overlay = windhover_bringup.overlay.node:main",
            "recorder = windhover_bringup.recording.recorder:main",
        ]
    },
)
