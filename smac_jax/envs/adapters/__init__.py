"""Environments of other libraries on the interface of Brax."""
