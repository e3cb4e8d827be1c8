"""The three jobs, and what is deployed to run them."""
