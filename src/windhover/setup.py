from setuptools import find_packages, setup

PACKAGE = "windhover"

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
    zip_safe=False,
)
