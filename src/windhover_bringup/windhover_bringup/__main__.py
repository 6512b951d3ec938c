"""``python -m windhover_bringup`` is the ``windhover`` command."""

from windhover_bringup.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
