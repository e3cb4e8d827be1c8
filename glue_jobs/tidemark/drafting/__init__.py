"""`tidemark model init`: a model folder drafted from a database."""
