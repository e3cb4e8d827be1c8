"""One machine in place of AWS, with everything that runs there."""
