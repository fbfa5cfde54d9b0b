"""`python -m payments`."""

import sys

from payments.cli.main import main

sys.exit(main())
