"""What the compilers for GPUs and TPUs make of the product's programs, on a machine that has neither.

``targets`` describes devices, and ``programs`` the product's compiled programs. ``hlo`` and ``thunks`` read what a
compiler wrote, and ``facts`` puts together what is known of a compiled program. ``model`` predicts its time,
``measured`` times it on a device that is present, and ``budgets`` has the limits that tests hold.
"""
