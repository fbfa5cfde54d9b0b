"""Write the policies: `python -m pipeline.bootstrap`."""

import sys

from pipeline.bootstrap.policies import write_policies

if __name__ == "__main__":
    sys.stdout.writelines(f"{path}\n" for path in write_policies())
