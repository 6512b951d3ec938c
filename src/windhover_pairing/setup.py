from setuptools import find_packages, setup

PACKAGE = "windhover_pairing"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Node that pairs RGB and thermal images and lays them on one grid.",
    license="Apache-2.0",
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
        "windhover",
        "windhover_ros",
    ],
    extras_require={"test": ["pytest", "hypothesis"]},
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "pairing = windhover_pairing.node:main",
        ]
    },
)
