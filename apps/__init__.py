"""The applications: the command line, and what it is made of."""
