"""Errors a person may see.

Every message names the thing that is wrong and what to do about it, in one
line. The command line prints it and exits with 2; a node turns it into a
diagnostic and recovers.
"""

from typing import ClassVar


class WindhoverError(Exception):
    """Base of every error that Windhover raises on purpose.

    Attributes:
        exit_status: of a command that it ends.
    """

    exit_status: ClassVar[int] = 2


class SourceError(WindhoverError):
    """A camera, file, folder or bag can't be opened or read."""


class EncodingError(WindhoverError):
    """A pixel format is unknown, or its buffer does not fit its geometry."""


class BundleError(WindhoverError):
    """A model bundle is missing, damaged or of an unknown version."""


class BackendError(WindhoverError):
    """An inference backend can't be opened, or a run of it failed."""


class ConfigError(WindhoverError):
    """A parameter or a config file is out of range or malformed."""


class DataError(WindhoverError):
    """An annotation, detection or result file is malformed."""


class CalibrationError(ConfigError):
    """A camera's calibration is malformed, or for images of another size."""


class RestartRequiredError(WindhoverError):
    """The process can't recover by itself; its supervisor should restart it."""

    exit_status = 3
