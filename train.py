"""Train a team of sensors: ``python train.py --help``."""

import sys

from marl_stl_agents.scripts import train

if __name__ == "__main__":
    sys.exit(train())
