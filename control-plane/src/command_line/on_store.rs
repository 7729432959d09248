//! How a command fails that works on the store itself.

use std::error::Error;

use offswitch::api_keys::CreateError;
use offswitch::backup::BackupError;
use offswitch::keyring::KeyringError;
use offswitch::plane::PlaneError;
use offswitch::store::StoreError;

use super::outcome::{Exit, Failure};

/// The failure with the code of its first cause that has one.
pub(crate) fn failure(error: &anyhow::Error, is_over_soon: bool) -> Failure {
    let code = error.chain().find_map(code).unwrap_or("command_failed");
    let exit = if is_over_soon { Exit::Undecided } else { Exit::Refused };
    Failure::refused(exit, code, format!("{error:#}"))
}

fn code(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let of_store = error.downcast_ref::<StoreError>().map(StoreError::code);
    let of_backup = || error.downcast_ref::<BackupError>().and_then(backup);
    let of_plane = || error.downcast_ref::<PlaneError>().and_then(plane);
    let of_keyring = || error.downcast_ref::<KeyringError>().and_then(keyring);
    let of_key = || match error.downcast_ref::<CreateError>()? {
        CreateError::Store(error) => Some(error.code()),
        CreateError::TooMany => Some("too_many_api_keys"),
    };
    of_store.or_else(of_backup).or_else(of_plane).or_else(of_keyring).or_else(of_key)
}

// These errors show what they are made of as their own text, so that it is not among their causes.

fn backup(error: &BackupError) -> Option<&'static str> {
    match error {
        BackupError::Keyring(error) => keyring(error),
        BackupError::Plane(error) => plane(error),
        BackupError::Store(error) => Some(error.code()),
        error => error.code(),
    }
}

fn plane(error: &PlaneError) -> Option<&'static str> {
    match error {
        PlaneError::Keyring(error) => keyring(error),
        PlaneError::Store(error) => Some(error.code()),
        _ => None,
    }
}

fn keyring(error: &KeyringError) -> Option<&'static str> {
    match error {
        KeyringError::Sealed(_) => Some("other_master_key"),
        KeyringError::Store(error) => Some(error.code()),
        _ => None,
    }
}
