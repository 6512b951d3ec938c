from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "windhover"

# The released bundles, each folder as it is: bundle.yaml holds the hashes of its files.
MODELS = [
    (f"share/{PACKAGE}/{folder}", sorted(str(path) for path in folder.iterdir() if path.is_file()))
    for folder in [Path("models"), *sorted(Path("models").glob("*/"))]
    if folder.is_dir()
]

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Drone perception as a plain Python library that imports no ROS.",
    license="Apache-2.0",
    maintainer="Windhover maintainers",
    maintainer_email="maintainers@users.noreply.github.com",
    packages=find_packages(exclude=["tests", "tests.*"]),
    package_data={"": ["py.typed", "*.html.j2", "*.css"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *MODELS,
    ],
    python_requires=">=3.10",
    install_requires=[
        "numpy",
        "opencv-python-headless",
        "onnxruntime",
        "pydantic>=2",
        "PyYAML",
        "scipy",
        "matplotlib",
        "Jinja2",
        "pycocotools",
        "av",
        "rosbags",
    ],
    extras_require={
        # What runs a model on the HTP: the backends dlc and qnn.
        "qnn": [
            'onnxruntime-qnn; sys_platform == "linux" and platform_machine in "x86_64 aarch64"'
        ],
        # Cameras as v4l2:; GPL-3.0-or-later, unlike all else that is installed.
        "v4l2": ['linuxpy; sys_platform == "linux"'],
        # Bundles that must be signed.
        "signed": ["cryptography"],
        "test": ["pytest", "hypothesis"],
    },
    zip_safe=False,
)
