"""docs/api.md, made of the OpenAPI description: `python -m app.api.reference > docs/api.md`.

Knows OpenAPI as FastAPI writes it, and nothing of the routes themselves.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.api.access import scope_of
from app.api.server import build_api
from app.service import Service
from app.settings import Settings

Schema = Mapping[str, Any]


def reference(description: Schema) -> str:
    """The page."""
    return "\n".join(_lines(description)) + "\n"


def _lines(description: Schema) -> Iterator[str]:
    yield "# The API"
    yield ""
    yield "Made from the OpenAPI description by `python -m app.api.reference > docs/api.md`; the same, to be"
    yield "tried out, is at `/docs` of a running `attest serve`. All paths begin with `/v1`."
    yield ""
    yield str(description["info"]["description"])
    yield ""
    yield 'Whatever fails answers `{"error": {"message", "type"}}`:'
    yield ""
    for status, words in _refusals(description).items():
        yield f"* {status}: {words}"
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield ""
            yield from _operation(method.upper(), path, operation)
    yield ""
    yield "## Objects"
    for name, schema in sorted(description["components"]["schemas"].items()):
        if not name.startswith(("HTTPValidation", "ValidationError", "Body_")):
            yield ""
            yield from _object(name, schema)


def _refusals(description: Schema) -> dict[str, str]:
    first = next(iter(next(iter(description["paths"].values())).values()))
    return {status: each["description"] for status, each in first["responses"].items() if status >= "400"}


def _operation(method: str, path: str, operation: Schema) -> Iterator[str]:
    yield f"## {method} {path}"
    yield ""
    yield f"{operation.get('description', '')} Scope `{scope_of(method, path)}`.".strip()
    rows = [
        (each["name"], each["in"], each["required"], each["schema"], each.get("description", ""))
        for each in operation.get("parameters", ())
    ]
    if rows:
        yield ""
    for name, place, required, schema, words in rows:
        needed = ", required" if required else ""
        yield f"* `{name}` ({place}{needed}): {_type(schema)}{words and f'; {words}'}"
    for content_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield ""
        yield f"Takes `{content_type}`: {_type(content['schema'])}."
    for status, reply in operation["responses"].items():
        if status < "400":
            kinds = [
                f"`{content_type}`" + (f": {_type(content['schema'])}" if "$ref" in content["schema"] else "")
                for content_type, content in reply.get("content", {}).items()
            ]
            yield ""
            yield f"Answers {status}, {', or '.join(kinds)}."


def _object(name: str, schema: Schema) -> Iterator[str]:
    yield f"### {name}"
    if words := schema.get("description"):
        yield ""
        yield from words.strip().splitlines()
    yield ""
    required = schema.get("required", ())
    for field, each in schema.get("properties", {}).items():
        default = f", default `{each['default']!r}`" if field not in required and "default" in each else ""
        yield f"* `{field}`: {_type(each)}{default}"


def _type(schema: Schema) -> str:
    """A type in words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        if name.startswith("Body_"):
            return "a form with `file`, `collection`, `profile`"
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        parts = schema.get("prefixItems")
        return f"[{', '.join(map(_type, parts))}]" if parts else f"list of {_type(schema.get('items', {}))}"
    limits = [str(schema[key]) for key in ("minimum", "maximum") if key in schema]
    return str(schema.get("type", "any")) + (f" {'..'.join(limits)}" if len(limits) == 2 else "")


def described() -> Schema:
    """The description, from a service on an empty home."""
    with (
        tempfile.TemporaryDirectory() as home,
        Service(Settings(Path(home), "fake"), shared=False) as service,
    ):
        return build_api(service).openapi()


if __name__ == "__main__":
    sys.stdout.write(reference(described()))
