"""A folder that runs on another Linux machine without being installed: `python -m app.desktop.build OUT`.

    interpreter.py  the running Python, made to find its libraries beside itself
    packages.py     what Attest needs of what is installed, and nothing of what only developers need
    qt.py           of Qt what a window with a page needs; its modules under the GPL stay out
    folder.py       the folder with its entry, its icon and how it is started

Linux only; docs/desktop.md has the recipes for Windows and macOS.
"""
