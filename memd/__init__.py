"""memd, the memory daemon of a Linux device."""

__version__ = "0.1.0"
