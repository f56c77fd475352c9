"""Environments of other libraries with the interface of Brax."""
