//! Restarts on real containers and on an engine that misbehaves.
