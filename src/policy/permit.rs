//! The proof that a call was judged and may run now; only this room can make one.

use crate::domain::ResolvedCall;

/// The right to run exactly the call that it holds, once.
///
/// It cannot be built, cloned or changed outside `policy`:
/// ```compile_fail
/// use opsbot::{domain::ResolvedCall, policy::Permit};
/// fn forge(call: ResolvedCall) -> Permit {
///     Permit { call }
/// }
/// ```
/// ```compile_fail
/// fn twice(permit: opsbot::policy::Permit) -> (opsbot::policy::Permit, opsbot::policy::Permit) {
///     (permit.clone(), permit)
/// }
/// ```
#[derive(Debug)]
pub struct Permit {
    call: ResolvedCall,
}

impl Permit {
    /// The call that may run.
    pub fn call(&self) -> &ResolvedCall {
        &self.call
    }

    pub(in crate::policy) fn mint(call: ResolvedCall) -> Self {
        Self { call }
    }
}
