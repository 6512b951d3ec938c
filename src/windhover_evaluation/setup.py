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
    package_data={"": ["py.typed", "*.html.j2", "*.css"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    python_requires=">=3.10",
    install_requires=[
        # PyPI's windhover is a stranger's: never take that for ours.
        f"windhover=={MANIFEST.findtext('version')}",
        "windhover_sim",
        "numpy",
        "opencv-python-headless",
        "scipy",
        "matplotlib",
        "Jinja2",
        "MarkupSafe",
        "pycocotools",
        "tabulate",
    ],
    extras_require={
        # Several processes, or a cluster: windhover_evaluation.fan_out.
        "cluster": ["distributed"],
        "test": ["pytest", "hypothesis"],
    },
    zip_safe=False,
)
