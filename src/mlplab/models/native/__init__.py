"""Parts of a step in C++, compiled for this processor when they are first needed."""
