//! No core dumps: the memory holds tokens, what people wrote, and customers' logs.

use nix::{
    errno::Errno,
    sys::{
        prctl,
        resource::{Resource, setrlimit},
    },
};

/// Forbids core dumps of this process, for good: by its limit, and for a `core_pattern` that is a pipe, to which the
/// limit means nothing, by its dumpable flag. That flag also keeps other processes of the same user out of its memory.
///
/// # Errors
/// The system's; whichever of the two works holds all the same.
pub fn forbid() -> Result<(), Errno> {
    let limited = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    prctl::set_dumpable(false).and(limited)
}
