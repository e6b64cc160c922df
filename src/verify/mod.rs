//! What is wrong, in words: evidence for what the kernel found, and checks of whole inputs.

pub mod words;
