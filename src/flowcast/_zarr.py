"""The posterior's tree as a Zarr store, with latent flows that are never held in memory whole.

Everything but the latent flows is small and is loaded. The flows stay on disk: they are read where
they are needed, and come into another store as hard links.
"""

import json
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from flowcast._netcdf import TIMES

if TYPE_CHECKING:  # loaded where there is a store: it takes as long as everything else
    import zarr

__all__ = [
    "FLOW",
    "LATENT",
    "create_flows",
    "flows_folder",
    "gather_metadata",
    "is_flow_data",
    "open_flows",
    "open_latent_group",
    "read_store",
    "stored_at",
    "write_group",
    "write_store",
]

LATENT: Final = "latent"
FLOW: Final = "log_flow"
DIMS: Final = ("chain", "draw", "corridor", "period")
SOURCE: Final = "source"
"""Where the encoding of a variable says which store it is read from."""
FORMAT: Final = 3


def write_group(data: xr.Dataset, store: Path, group: str) -> None:
    """Write a dataset as a group of a store; it must be as `storable_tree` returns it."""
    data.to_zarr(store, group=group, mode="a", zarr_format=FORMAT, consolidated=False)


def create_flows(
    store: Path,
    shape: Sequence[int],
    chunks: Sequence[int],
    shards: Sequence[int],
    attrs: Mapping[str, str],
) -> None:
    """Create the array of latent flows in a store whose latent group is there.

    Single precision hardly compresses: LZ4 of sorted bytes saves a fifth, and costs about what it
    spares the disk. Each chunk carries a checksum (CRC-32C), so that damage is noticed when it is
    read.

    Parameters
    ----------
    store
        The store's folder.
    shape, chunks, shards
        Sizes along (chain, draw, corridor, period). A shard is one file; a chunk is what is read at
        least. Shards are multiples of chunks.
    attrs
        Attributes of the array.
    """
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    zarr.create_array(
        store / LATENT,
        name=FLOW,
        shape=tuple(shape),
        chunks=tuple(chunks),
        shards=tuple(shards),
        dtype="float32",
        fill_value=np.nan,
        compressors=[
            BloscCodec(cname="lz4", clevel=1, shuffle="shuffle", typesize=4),
            Crc32cCodec(),
        ],
        dimension_names=DIMS,
        attributes=dict(attrs),
        zarr_format=FORMAT,
    )


def open_flows(store: Path) -> "zarr.Array[Any]":
    """Open the array of latent flows for writing, each shard as a whole."""
    import zarr

    # A file that is there means a block that is done, even if no cell of it exists.
    return zarr.open_array(flows_folder(store), mode="r+", config={"write_empty_chunks": True})


def flows_folder(store: Path) -> Path:
    """Return the folder of the array of latent flows in a store."""
    return store / LATENT / FLOW


def is_flow_data(name: str) -> bool:
    """Return whether a path below the store (with slashes) is a piece of the latent flows.

    Examples
    --------
    >>> is_flow_data("latent/log_flow/c/0/0/7/0"), is_flow_data("latent/log_flow/zarr.json")
    (True, False)
    """
    return name.startswith(f"{LATENT}/{FLOW}/c/")


def open_latent_group(store: Path) -> xr.Dataset:
    """Open the latent group: coordinates in memory, flows read where they are needed."""
    data = xr.open_dataset(
        store,
        engine="zarr",
        group=LATENT,
        chunks=None,
        consolidated=False,
        decode_times=TIMES,
        cache=False,
    )
    for name in data.variables:
        if name != FLOW:
            data[name].load()
    data[FLOW].encoding[SOURCE] = str(store)
    return data


def stored_at(tree: xr.DataTree) -> Path | None:
    """Return the store that the latent flows of a tree are read from; None if they are in memory.

    A selection from stored flows, or flows that were loaded and perhaps changed, are no store: they
    are written as any other array.
    """
    if LATENT not in tree.children or FLOW not in tree[LATENT].data_vars:
        return None
    flows = tree[LATENT].to_dataset()[FLOW]
    source = flows.encoding.get(SOURCE)
    if source is None or flows.variable._in_memory:
        return None
    described = flows_folder(Path(source)) / "zarr.json"
    shape = tuple(json.loads(described.read_text(encoding="utf-8"))["shape"])
    return Path(source) if flows.dims == DIMS and flows.shape == shape else None


def write_store(tree: xr.DataTree, path: Path) -> None:
    """Write a tree whose flows are stored; they are linked or, across file systems, copied.

    Parameters
    ----------
    tree
        As `storable_tree` returns it; `stored_at` must know its store.
    path
        The new store's folder.
    """
    source = stored_at(tree)
    if source is None:
        raise ValueError("the latent flows of this tree are not in a store")
    for node in tree.subtree:
        data = node.to_dataset(inherit=False)
        write_group(data.drop_vars(FLOW) if node.path == f"/{LATENT}" else data, path, node.path)
    shutil.copytree(flows_folder(source), flows_folder(path), copy_function=_link_or_copy)
    gather_metadata(path)


def gather_metadata(store: Path) -> None:
    """Put the metadata of a store that is complete in one place, so that it opens quickly."""
    import zarr
    from zarr.errors import ZarrUserWarning

    with warnings.catch_warnings():
        # Understood by xarray, not yet by every other reader of Zarr.
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(store, zarr_format=FORMAT)


def read_store(path: Path) -> xr.DataTree:
    """Read a store; all but the latent flows is loaded."""
    with xr.open_datatree(path, engine="zarr", chunks=None, decode_times=TIMES) as tree:
        groups = {
            node.path: _with_plain_text(node.to_dataset(inherit=False).load())
            for node in tree.subtree
            if node.path != f"/{LATENT}"
        }
    groups[f"/{LATENT}"] = open_latent_group(path)
    return xr.DataTree.from_dict(groups)


def _with_plain_text(data: xr.Dataset) -> xr.Dataset:
    """Return a dataset with text as Python objects, as it comes from NetCDF too."""
    text = {
        name: variable.astype(object)
        for name, variable in data.variables.items()
        if isinstance(variable.dtype, np.dtypes.StringDType)
    }
    return data.assign(text)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target
