"""Large arrays that a thread uses again at every evaluation.

Fresh arrays of some megabytes are slow: the operating system clears every page of them, and threads
wait for each other while it does. At the size of the world that took a third of an evaluation.
"""

import threading

import numpy as np
from numpy.typing import NDArray

__all__ = ["scratch"]


class _Kept(threading.local):
    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[np.float64]] = {}


_KEPT = _Kept()


def scratch(name: str, *shape: int) -> NDArray[np.float64]:
    """Return this thread's array of that name, with whatever its last use left in it.

    It is valid until the same thread asks for the name again: what is returned to a caller must
    not lie in it.

    Examples
    --------
    >>> scratch("slopes", 2, 3).shape
    (2, 3)
    >>> scratch("slopes", 2, 3) is scratch("slopes", 2, 3)
    True
    """
    array = _KEPT.arrays.get(name)
    if array is None or array.shape != shape:
        array = _KEPT.arrays[name] = np.empty(shape)
    return array
