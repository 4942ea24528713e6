"""Speed, side by side with the peers. `python benchmarks/run.py` runs everything; each file also runs alone."""
