"""The runner: the child process that loads one model and generates replies."""
