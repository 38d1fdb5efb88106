"""`thcli train` and `thcli prepare`."""

from thcli.cli.training import bundled, published
from thcli.cli.training.common import app

__all__ = ["app", "bundled", "published"]
