//! Facts: fields with a producer, run only if wanted.
