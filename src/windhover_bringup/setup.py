from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "windhover_bringup"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="The windhover command, composed process, launch files and configuration.",
    license="Apache-2.0",
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
        "windhover",
        "windhover_ros",
        "windhover_cameras",
        "windhover_detector",
        "windhover_pairing",
        "windhover_tracker",
        "typer",
        "rich",
    ],
    extras_require={"test": ["pytest", "hypothesis"]},
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "windhover = windhover_bringup.cli:main",
            "monitor = windhover_bringup.monitor:main",
            "overlay = windhover_bringup.overlay:main",
            "recorder = windhover_bringup.recorder:main",
        ]
    },
)
