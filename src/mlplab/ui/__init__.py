"""The laboratory in a browser: a server of run folders, which trains nothing itself.

Nothing here loads Keras or JAX, but in processes of their own: those of trainings
(:mod:`mlplab.ui.job`) and the worker that answers for networks (:mod:`mlplab.ui.worker`).
"""
