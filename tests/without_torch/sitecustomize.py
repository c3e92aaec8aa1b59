"""On `PYTHONPATH` this hides PyTorch from a Python and from whatever it starts, as if it were not installed."""

import sys
from importlib.machinery import PathFinder


class Without(PathFinder):
    """Finds everything but PyTorch."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "torch" else PathFinder.find_spec(name, path, target)


sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
