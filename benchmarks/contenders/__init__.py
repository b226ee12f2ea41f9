"""Ways to compute the drift between two files; each runs in a process, maybe a venv, of its own."""
