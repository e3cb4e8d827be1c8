"""The local AWS: moto as a daemon, with what it lacks."""
