//! The vendor's service, simulated: for the demo, for tests and for training.
