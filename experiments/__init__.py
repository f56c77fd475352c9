"""Programs of the checkout, and the code that reproduces the paper."""
