"""Documents come and go: added, watched, forecast, listed, kept in order."""
