//! What the scanner accepts, refuses and makes of it.
