from setuptools import find_packages, setup

PACKAGE = "windhover_ros"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Wiring that every Windhover node shares: QoS, parameters, messages, health.",
    license="Apache-2.0",
    maintainer="Windhover maintainers",
    maintainer_email="maintainers@users.noreply.github.com",
    packages=find_packages(exclude=["tests", "tests.*"]),
    package_data={"": ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/config", ["config/fastdds.xml"]),
    ],
    python_requires=">=3.10",
    install_requires=[
        "windhover",
    ],
    extras_require={"test": ["pytest", "hypothesis"]},
    zip_safe=False,
)
