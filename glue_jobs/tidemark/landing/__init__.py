"""Between extract and transform: manifests, and the files that they name."""
