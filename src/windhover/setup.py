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
        "numpy",
        "opencv-python-headless",
        "onnxruntime",
        "pydantic>=2",
        "PyYAML",
        "scipy",
        "av",
        "rosbags",
    ],
    extras_require={
        # Progress bars of commands.
        "progress": ["rich"],
        # What runs a model on the HTP: the backends dlc and qnn.
        "qnn": [
            'onnxruntime-qnn; sys_platform == "linux" and platform_machine in "x86_64 aarch64"'
        ],
        # Cameras as v4l2:; GPL-3.0-or-later, unlike every other dependency.
        "v4l2": ['linuxpy; sys_platform == "linux"'],
        # Bundles that must be signed.
        "signed": ["cryptography"],
        "test": ["pytest", "hypothesis"],
    },
    zip_safe=False,
)
