//! JSON Schema of a rule file, from the table of keys: for editors that complete and check.
