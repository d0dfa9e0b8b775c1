"""A small window at the edge of the screen that a file is dragged from: `drag_source.py X Y FILE...`.

What arrives in the other window is a drop of the desktop's own protocol (XDND), as from a file manager.
"""

import sys

from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QDrag, QMouseEvent
from PySide6.QtWidgets import QApplication, QWidget


class Source(QWidget):
    def mousePressEvent(self, event: QMouseEvent) -> None:
        drag, data = QDrag(self), QMimeData()
        data.setUrls([QUrl.fromLocalFile(path) for path in sys.argv[3:]])
        drag.setMimeData(data)
        actions = Qt.DropAction.CopyAction | Qt.DropAction.MoveAction | Qt.DropAction.LinkAction
        print(drag.exec(actions).name, flush=True)


application = QApplication(["files"])
source = Source()
source.setWindowTitle("files")
source.setGeometry(int(sys.argv[1]), int(sys.argv[2]), 80, 80)
source.show()
print("ready", flush=True)
sys.exit(application.exec())
