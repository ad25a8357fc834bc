"""The families of networks: one file each, whose ``build`` returns a ``keras.Model``."""
