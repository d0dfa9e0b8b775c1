"""How well and how fast it answers: evaluation files, benchmarks and their statistics."""
