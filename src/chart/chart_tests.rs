//! Whole pictures, decoded and looked at.
