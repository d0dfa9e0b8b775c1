"""Who may come in, and on whose behalf the faces then work."""
