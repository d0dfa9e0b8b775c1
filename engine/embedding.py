"""Texts to vectors for retrieval, by a sentence-transformers model on this machine.

Pooling (mean, CLS) and normalisation are the model folder's own settings, so BGE-M3 (the paper's) and the
built-in MiniLM both load unchanged. Nothing is fetched unless the caller allows it.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from engine.errors import ModelNotFound
from engine.loading import choose_device, quiet_transformers
from engine.registry import DEFAULT_EMBEDDER, REGISTERED

BATCH = 32


class SentenceEmbedder:
    """`Embedder` over a sentence-transformers folder, a hub id, or the built-in default.

    Raises ModelNotFound if it is not on this machine.
    """

    def __init__(
        self, name: str = DEFAULT_EMBEDDER, *, device: str = "auto", allow_download: bool = False
    ) -> None:
        from sentence_transformers import SentenceTransformer

        quiet_transformers()
        target, dtype, _ = choose_device(device)
        where = name
        if name in REGISTERED:
            carried = REGISTERED[name].path()
            if carried is None:
                raise ModelNotFound(f"the built-in embedder {name} is not installed; run `make install`")
            where = str(carried)
        try:
            self._model = SentenceTransformer(
                where,
                device=str(target),
                local_files_only=not allow_download,
                model_kwargs={"dtype": dtype, "use_safetensors": True},
            )
        except OSError as error:
            raise ModelNotFound(
                f"the embedder {name} could not be loaded ({str(error).splitlines()[0]}); check the path, or "
                "allow the download of a hub id"
            ) from error
        self._name = name
        self._dimension = int(self._model.get_embedding_dimension())

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return self._dimension

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        if not texts:
            return np.zeros((0, self._dimension), dtype=np.float32)
        with torch.inference_mode():
            vectors = self._model.encode(
                list(texts), batch_size=BATCH, convert_to_tensor=True, show_progress_bar=False
            ).float()
        return torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy().astype(np.float32)
