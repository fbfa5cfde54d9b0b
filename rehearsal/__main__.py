"""`python -m rehearsal`: see `rehearsal.cli.rehearse`."""

import sys

from rehearsal.cli.rehearse import main

if __name__ == "__main__":
    sys.exit(main())
