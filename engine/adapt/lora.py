"""LoRA through peft: new on a frozen model, or as it was trained."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LINEAR_MAPS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def attach(model: Any, name: str, rank: int, alpha: int) -> Any:
    """`model` with new low-rank updates on all seven linear maps of every layer, in its own number format.

    name: what the model is known by; peft would write down the folder that it lies in.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(LINEAR_MAPS), task_type="CAUSAL_LM")
    with _older_transformers():
        attached = get_peft_model(model, config, autocast_adapter_dtype=False)
    kept = attached.peft_config["default"]
    kept.base_model_name_or_path = name
    kept.target_modules = list(LINEAR_MAPS)  # a set is written in another order by each process
    return attached


def load(model: Any, folder: Path) -> Any:
    """`model` with the updates of a folder that `attach`'s `save_pretrained` made."""
    from peft import PeftModel

    with _older_transformers():
        return PeftModel.from_pretrained(model, str(folder), autocast_adapter_dtype=False).eval()


def start_from(attached: Any, folder: Path) -> None:
    """Give what `attach` made the updates of a folder. Raises ValueError if they are of another shape."""
    from peft import set_peft_model_state_dict
    from peft.utils import load_peft_weights

    try:
        found: Any = set_peft_model_state_dict(attached, load_peft_weights(str(folder), device="cpu"))
    except RuntimeError as error:
        raise ValueError(f"{folder}: its updates do not fit this model's ({error})") from None
    if found.unexpected_keys or any("lora_" in key for key in found.missing_keys):
        raise ValueError(f"{folder}: its updates are of other weights than those that are trained")


@contextmanager
def _older_transformers() -> Iterator[None]:
    """peft still asks transformers for something by its older name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield
