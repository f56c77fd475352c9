from __future__ import annotations


def launch(blocks, keeping):
    raise NotImplementedError
