"""``python -m flowcast`` is ``flowcast``."""

from flowcast.cli import main

if __name__ == "__main__":
    main()
