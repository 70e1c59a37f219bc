//! The laws of the design, each as a test that fails without it.
