//! What to do about what the system says of a file.

use std::io::{Error, ErrorKind};

/// Whether the system says that the disk is full, or a quota, or that a file may not grow so large.
pub(crate) fn out_of_space(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// What to do about it, if anybody can know.
pub(crate) fn remedy(error: &Error) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::NotFound => "nothing has this path: look for a slip in it",
        ErrorKind::PermissionDenied => "this user has no right to it: take another place, or change its permissions",
        ErrorKind::ReadOnlyFilesystem => "nothing can be written there: take a place on another disk",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space, or write to another disk",
        ErrorKind::FileTooLarge => "raise the limit on the size of a file (`ulimit -f unlimited`)",
        ErrorKind::IsADirectory => "name a file: this is a folder",
        ErrorKind::AlreadyExists => "something else has this name: take another",
        ErrorKind::NotADirectory => "name a folder: this is a file",
        _ => return None,
    })
}

/// That as the end of a message.
pub(super) fn hint(error: &Error) -> String {
    remedy(error).map(|remedy| format!("\n\nhint: {remedy}")).unwrap_or_default()
}
