"""llama.cpp's shared libraries, loaded when they are needed and quiet about it.

llama-cpp-python is compiled on the user's machine, so it may be missing: `missing()` says why, in words.
"""

import ctypes
import importlib.util
import logging
from functools import cache
from pathlib import Path
from typing import Any

from engine.errors import BackendUnavailable

log = logging.getLogger(__name__)

_ERROR = 4  # GGML_LOG_LEVEL_ERROR


def missing() -> str | None:
    """Why llama.cpp cannot be used here; None if it can."""
    if importlib.util.find_spec("llama_cpp") is None:
        return "llama-cpp-python is not installed: it needs a C++ compiler and cmake when it is set up"
    try:
        load()
    except BackendUnavailable as error:
        return str(error)
    return None


@cache
def load() -> Any:
    """The `llama_cpp` module, its backend initialised and its log turned into ours.

    Raises BackendUnavailable.
    """
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError, FileNotFoundError) as error:
        raise BackendUnavailable(
            f"llama-cpp-python cannot be loaded ({error}); run `make install` again, or choose the torch "
            "backend"
        ) from error
    llama_cpp.llama_log_set(_log_callback(llama_cpp), ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    return llama_cpp


_keep_alive: list[Any] = []


def _log_callback(llama_cpp: Any) -> Any:
    def write(level: int, text: bytes, _: ctypes.c_void_p) -> None:
        if level == _ERROR:  # llama.cpp's messages hold no text of documents, only sizes and names
            log.debug("llama.cpp: %s", text.decode("utf-8", "replace").strip())

    callback = llama_cpp.llama_log_callback(write)
    _keep_alive.append(callback)
    return callback


@cache
def ggml() -> ctypes.CDLL:
    """The tensor library, for reading graph nodes in an evaluation callback."""
    folder = Path(str(load().__file__)).parent / "lib"
    for name in ("libggml-base.so", "libggml-base.dylib", "ggml-base.dll"):
        if (folder / name).is_file():
            library = ctypes.CDLL(str(folder / name))
            library.ggml_get_name.restype = ctypes.c_char_p
            library.ggml_get_name.argtypes = [ctypes.c_void_p]
            library.ggml_backend_tensor_get.restype = None
            library.ggml_backend_tensor_get.argtypes = [
                ctypes.c_void_p,
                ctypes.c_void_p,
                ctypes.c_size_t,
                ctypes.c_size_t,
            ]
            library.ggml_nbytes.restype = ctypes.c_size_t
            library.ggml_nbytes.argtypes = [ctypes.c_void_p]
            library.ggml_op_desc.restype = ctypes.c_char_p
            library.ggml_op_desc.argtypes = [ctypes.c_void_p]
            library.ggml_is_contiguous.restype = ctypes.c_bool
            library.ggml_is_contiguous.argtypes = [ctypes.c_void_p]
            return library
    raise BackendUnavailable(f"no ggml library lies in {folder}; install llama-cpp-python again")
