"""Run the command line as `python -m videollm`."""

import sys

from videollm.cli import main

if __name__ == "__main__":
    sys.exit(main())
