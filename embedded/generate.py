"""Source code of a message package, written by the rosidl generators of the wheels.

The steps are those that rosidl_generate_interfaces takes in CMake: .msg to .idl,
type description and hash (REP-2011), then C structs, the type supports that rmw
asks for, and the Python classes.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from embedded.package import MessagePackage, interface_closure

TYPE_SUPPORTS = ("rosidl_typesupport_fastrtps_c", "rosidl_typesupport_introspection_c")


@dataclass(frozen=True, slots=True)
class Generated:
    """Where the generators put their output.

    Attributes:
        root: folder that holds one folder a generator, each with one a package.
        package: the package that was generated.
        interfaces: every message package it reaches, its own name not among them.
    """

    root: Path
    package: MessagePackage
    interfaces: tuple[str, ...]

    def folder(self, generator: str) -> Path:
        """Folder of what one generator wrote for the package."""
        return self.root / generator / self.package.name


def generate(package: MessagePackage, prefix: Path, root: Path) -> Generated:
    """Run every generator for ``package``.

    Args:
        package: the definitions.
        prefix: prefix in which the wheels' ``share`` is.
        root: empty folder that takes the output.

    Returns:
        The map of what was written.
    """
    share = prefix / "share"
    made = Generated(root, package, interface_closure(package.dependencies, share))
    # The generators print a line for every file that they read.
    with contextlib.redirect_stdout(io.StringIO()):
        _write_idl(made)
        descriptions = _write_descriptions(made, share)
        _write_code(made, share, descriptions)
    (made.folder("rosidl_generator_py") / "__init__.py").touch()
    return made


def _write_idl(made: Generated) -> None:
    from rosidl_adapter.msg import convert_msg_to_idl

    for message in made.package.messages:
        convert_msg_to_idl(
            made.package.folder,
            made.package.name,
            message,
            made.folder("rosidl_adapter") / message.parent,
        )


def _idl_names(made: Generated) -> list[str]:
    return [message.with_suffix(".idl").as_posix() for message in made.package.messages]


def _arguments(made: Generated, share: Path, generator: str) -> dict[str, object]:
    return {
        "package_name": made.package.name,
        "output_dir": str(made.folder(generator)),
        "template_dir": str(share / generator / "resource"),
        "idl_tuples": [f"{made.folder('rosidl_adapter')}:{name}" for name in _idl_names(made)],
        "ros_interface_dependencies": [
            f"{name}:{path}"
            for name in made.interfaces
            for path in sorted((share / name).glob("*/*.idl"))
        ],
        "target_dependencies": [],
    }


def _write_descriptions(made: Generated, share: Path) -> list[str]:
    from rosidl_cli.command.helpers import generator_arguments_file
    from rosidl_generator_type_description import generate_type_hash

    with generator_arguments_file(
        **_arguments(made, share, "rosidl_generator_type_description"),
        include_paths=[f"{name}:{share / name}" for name in made.interfaces],
    ) as arguments:
        generate_type_hash(arguments)
    folder = made.folder("rosidl_generator_type_description")
    return [f"{name}:{folder / Path(name).with_suffix('.json')}" for name in _idl_names(made)]


def _write_code(made: Generated, share: Path, descriptions: list[str]) -> None:
    import rosidl_generator_c
    import rosidl_generator_py
    import rosidl_typesupport_c
    import rosidl_typesupport_fastrtps_c
    import rosidl_typesupport_introspection_c
    from rosidl_cli.command.helpers import (
        generate_visibility_control_file,
        generator_arguments_file,
    )

    implementations = list(TYPE_SUPPORTS)
    generators: dict[str, Callable[[str], object]] = {
        "rosidl_generator_c": rosidl_generator_c.generate_c,
        "rosidl_typesupport_c": lambda file: rosidl_typesupport_c.generate_c(file, implementations),
        "rosidl_typesupport_fastrtps_c": (
            rosidl_typesupport_fastrtps_c.generate_typesupport_fastrtps_c
        ),
        "rosidl_typesupport_introspection_c": rosidl_typesupport_introspection_c.generate_c,
        "rosidl_generator_py": lambda file: rosidl_generator_py.generate_py(
            file, ["rosidl_typesupport_c", *implementations]
        ),
    }
    sources = [str((made.package.folder / name).resolve()) for name in made.package.messages]
    for generator, run in generators.items():
        # Written by CMake's configure_file in an ament build, not by the generator.
        template = share / generator / "resource" / f"{generator}__visibility_control.h.in"
        if template.is_file():
            generate_visibility_control_file(
                package_name=made.package.name,
                template_path=template,
                output_path=made.folder(generator) / "msg" / template.stem,
            )
        with generator_arguments_file(
            **_arguments(made, share, generator),
            type_description_tuples=descriptions,
            ros_interface_files=sources,
        ) as arguments:
            run(arguments)
