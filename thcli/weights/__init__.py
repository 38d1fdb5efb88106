"""Weights: the registry weights.toml, downloads, verification, imports and safe loading.

path = weights.locate("facemesh-attention")  # verified file; small free ones are downloaded
tensors = weights.load_tensors("fomm-vox")  # from safetensors, or a safely converted pickle
"""

from thcli.weights.layout import Checkpoint, FolderConverter, LayoutCheck
from thcli.weights.manage import (
    Verification,
    absent_error,
    cache_folder,
    cached_path,
    get_commands,
    import_file,
    is_ready,
    locate,
    pull,
    remove,
    unverified_error,
    verify,
)
from thcli.weights.own_files import files_to_import
from thcli.weights.registry import (
    WeightsEntry,
    check_licence,
    is_allowed,
    registry,
    select_entries,
)
from thcli.weights.store import WeightsStatus, WeightsStore, altered_error
from thcli.weights.tensors import describe_training, load_arrays, load_tensors, require_keys

__all__ = [
    "Checkpoint",
    "FolderConverter",
    "LayoutCheck",
    "Verification",
    "WeightsEntry",
    "WeightsStatus",
    "WeightsStore",
    "absent_error",
    "altered_error",
    "cache_folder",
    "cached_path",
    "check_licence",
    "describe_training",
    "files_to_import",
    "get_commands",
    "import_file",
    "is_allowed",
    "is_ready",
    "load_arrays",
    "load_tensors",
    "locate",
    "pull",
    "registry",
    "remove",
    "require_keys",
    "select_entries",
    "unverified_error",
    "verify",
]
