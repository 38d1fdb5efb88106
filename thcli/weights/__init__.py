"""Weights: the registry weights.toml, fetching, verifying, importing, safe loading.

path = weights.locate("facemesh-attention")      # the verified file; small free ones are fetched on first use
tensors = weights.load_tensors("fomm-vox")        # safetensors, or a pickle that was converted safely
"""

from thcli.weights.manage import (
    Checked,
    cache_folder,
    import_file,
    locate,
    present,
    pull,
    remove,
    verify,
    where,
)
from thcli.weights.registry import Entry, allowed, check_licence, registry, select
from thcli.weights.store import Status, Store
from thcli.weights.tensors import convert, load_arrays, load_tensors, require_keys

__all__ = [
    "Checked",
    "Entry",
    "Status",
    "Store",
    "allowed",
    "cache_folder",
    "check_licence",
    "convert",
    "import_file",
    "load_arrays",
    "load_tensors",
    "locate",
    "present",
    "pull",
    "registry",
    "remove",
    "require_keys",
    "select",
    "verify",
    "where",
]
