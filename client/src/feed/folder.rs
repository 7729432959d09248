//! Reads a feed as files from a folder of this machine, where there is no network.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use http::StatusCode;
use tokio::task::spawn_blocking;
use url::Url;

use crate::http::{FetchError, TOO_LARGE};

/// The path that an address names; none if it is one of another kind.
pub(crate) fn path_of(address: &str) -> Option<PathBuf> {
    let url = Url::parse(address).ok().filter(|url| url.scheme() == "file")?;
    url.to_file_path().ok()
}

/// Reads a whole file, if it is not too large.
pub(super) async fn read(path: PathBuf, max_bytes: usize) -> Result<Vec<u8>, FetchError> {
    let read = spawn_blocking(move || {
        let most = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match read.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(bytes) if bytes.len() > max_bytes => Err(FetchError::new(TOO_LARGE)),
        Ok(bytes) => Ok(bytes),
        Err(error) => {
            // As a server answers for a file that is not there.
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            let status = is_missing.then_some(StatusCode::NOT_FOUND);
            Err(FetchError { status, ..FetchError::new(error.to_string()) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // P09: the bound holds for files too, and a missing one is not an empty one.
    #[tokio::test]
    async fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("head");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read(path.clone(), 5).await.unwrap(), b"12345");
        assert_eq!(read(path.clone(), 4).await.unwrap_err().detail, TOO_LARGE);
        let missing = read(folder.path().join("none"), 5).await.unwrap_err();
        assert_eq!(missing.status, Some(StatusCode::NOT_FOUND));
        assert_eq!(read(folder.path().to_owned(), 5).await.unwrap_err().status, None);
        let address = format!("file://{}", path.display());
        assert_eq!(path_of(&address), Some(path));
        assert_eq!(path_of("https://a.example/head"), None);
    }
}
