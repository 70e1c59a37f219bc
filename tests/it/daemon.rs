//! The daemon as a whole: real records to real receivers, and through crashes of every kind.

mod checker;
mod full;
mod hook;
mod house;
mod kills;
mod real;
mod steps;
