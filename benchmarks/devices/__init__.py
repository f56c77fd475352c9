"""What the compilers for GPUs and TPUs make of the product's programs, on a machine that has neither.

``targets`` describes devices, ``programs`` the product's compiled programs, ``hlo`` and ``thunks`` read what a compiler
wrote, ``report`` puts together what is known of a compiled program, ``model`` predicts its time, ``measured`` fits the
model's constants to a device that is present.
"""
