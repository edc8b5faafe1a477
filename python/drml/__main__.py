"""``python -m drml``."""

from drml.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
