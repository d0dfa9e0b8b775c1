"""What stands behind an answer: citations, what it needed, what it states, and the report that shows it."""
