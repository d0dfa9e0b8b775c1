"""Where data lives and which models are used: defaults, then `settings.toml` in the home, then environment.

| setting        | environment          | default                |
|----------------|----------------------|------------------------|
| home           | ATTEST_HOME          | the platform's user data folder |
| model          | ATTEST_MODEL         | smollm2-135m-instruct  |
| embedder       | ATTEST_EMBEDDER      | all-minilm-l6-v2       |
| device         | ATTEST_DEVICE        | auto                   |
| backend        | ATTEST_BACKEND       | auto                   |
| quantisation   | ATTEST_QUANTISATION  | none                   |
| memory_format  | ATTEST_MEMORY_FORMAT | default                |
| adapter        | ATTEST_ADAPTER       | auto                   |
| retrieval      | ATTEST_RETRIEVAL     | recall                 |

For signing in at a provider (`app.accounts.registration`), all empty:

| setting                 | environment                    |
|-------------------------|--------------------------------|
| oidc_issuer             | ATTEST_OIDC_ISSUER             |
| oidc_client_id          | ATTEST_OIDC_CLIENT_ID          |
| oidc_client_secret      | ATTEST_OIDC_CLIENT_SECRET      |
| oidc_client_secret_file | ATTEST_OIDC_CLIENT_SECRET_FILE |
| oidc_address            | ATTEST_OIDC_ADDRESS            |
"""

import os
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, get_args

import platformdirs
import tomlkit

from app.errors import AttestError
from engine.opening import BACKENDS, Backend
from engine.registry import DEFAULT_EMBEDDER, DEFAULT_MODEL, Quantisation, resolve

Retrieval = Literal["recall", "search"]


@dataclass(frozen=True)
class Settings:
    """model, embedder: built-in name, path or hub id. device: auto, cpu or cuda. quantisation: none, 8bit
    or 4bit. memory_format: default, paper, or JSON fields of `engine.format.MemoryFormat`. backend: auto,
    torch or llamacpp; see `engine.opening`. adapter: auto, none, or a folder of peft. retrieval: recall (the
    model's own queries order what the search finds, see `app.answering.recalling`) or search alone. oidc: who
    the provider is at which users may sign in, see `app.accounts.provider`.
    """

    home: Path
    model: str = DEFAULT_MODEL
    embedder: str = DEFAULT_EMBEDDER
    device: str = "auto"
    quantisation: Quantisation = "none"
    memory_format: str = "default"
    backend: Backend = "auto"
    adapter: str = "auto"
    retrieval: Retrieval = "recall"
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)
    oidc_client_secret_file: str = ""
    oidc_address: str = ""

    @property
    def model_cache(self) -> Path:
        return self.home / "models"


def load() -> Settings:
    """Settings of this process. Raises AttestError if a value or the file is wrong."""
    home = Path(os.environ.get("ATTEST_HOME") or platformdirs.user_data_path("attest")).expanduser()
    names = {field.name for field in fields(Settings)} - {"home"}
    values: dict[str, str] = {}
    file = home / "settings.toml"
    if os.path.lexists(file):
        try:
            values = {
                key: str(value) for key, value in tomllib.loads(file.read_text(encoding="utf-8")).items()
            }
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise AttestError(f"{file} cannot be read ({error}); correct it or remove it") from error
        if unknown := sorted(set(values) - names):
            raise AttestError(f"{file}: unknown setting {unknown[0]!r}; known are {', '.join(sorted(names))}")
    values |= {name: os.environ[key] for name in names if os.environ.get(key := f"ATTEST_{name.upper()}")}
    if values.get("quantisation", "none") not in get_args(Quantisation):
        raise AttestError(f"quantisation is {values['quantisation']!r}; give none, 8bit or 4bit")
    if values.get("backend", "auto") not in BACKENDS:
        raise AttestError(f"backend is {values['backend']!r}; give auto, torch or llamacpp")
    if values.get("retrieval", "recall") not in get_args(Retrieval):
        raise AttestError(f"retrieval is {values['retrieval']!r}; give recall or search")
    return Settings(home=home, **values)  # type: ignore[arg-type]  # checked above


def with_model(chosen: Settings, model: str) -> Settings:
    """`chosen` with another language model, which is written to settings.toml and so counts at every start.

    An adapter that was named by its folder belongs to the model before, and gives way to "auto".
    Raises AttestError if the model is not on this machine, if the environment names another, or if the file
    cannot be written; EngineError if `model` is no name of one.
    """
    if fixed := os.environ.get("ATTEST_MODEL"):
        raise AttestError(f"ATTEST_MODEL says that the model is {fixed}; start without it to choose another")
    model = model.strip()
    if model != "fake":
        source = resolve(model)
        if source.path is None:
            raise AttestError(
                f"{model} would have to be fetched from a hub, which nothing here does by itself; give a "
                "GGUF file or a folder on this machine"
            )
        model = source.name if source.name == model else str(source.path.absolute())
    changed = {"model": model}
    if chosen.adapter not in ("auto", "none"):
        changed["adapter"] = "auto"
    file = chosen.home / "settings.toml"
    try:
        written = tomlkit.parse(file.read_text(encoding="utf-8")) if file.exists() else tomlkit.document()
        written.update(changed)
        partial = file.with_suffix(".part")
        partial.write_text(tomlkit.dumps(written), encoding="utf-8")
        partial.replace(file)
    except (OSError, UnicodeDecodeError, tomlkit.exceptions.TOMLKitError) as error:
        raise AttestError(f"{file} cannot be changed ({error}); correct it or remove it") from error
    return replace(chosen, **changed)  # type: ignore[arg-type]  # all of them are texts
