"""`attest desktop`: the page of `attest serve` in a window of its own, for the one who opened it.

running.py   everything of one window, from the start to the last process
instance.py  one window per home folder
door.py      what keeps all others on this machine away from its server
window.py    the window itself, on every platform; qt.py is what Linux needs beyond that
place.py     where the window was
toolkit.py   whether a window can be opened here at all, and what is lacking
"""
