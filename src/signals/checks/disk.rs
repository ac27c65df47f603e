//! How full a file system of this machine is, asked of the kernel.

use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tokio::{task, time};

/// A disk that does not answer by then is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is in use, in percent as `df` counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Used {
    pub bytes: f64,
    /// None where the file system makes inodes as needed.
    pub inodes: Option<f64>,
}

/// Looks at the file system that holds `path`; the error is a sentence.
pub(super) async fn used(path: &str) -> Result<Used, String> {
    let place = path.to_owned();
    let looked = time::timeout(PATIENCE, task::spawn_blocking(move || statvfs(place.as_str()))).await;
    let stat = match looked {
        Ok(Ok(Ok(stat))) => stat,
        Ok(Ok(Err(error))) => return Err(format!("{path} cannot be looked at ({})", error.desc())),
        Ok(Err(_)) | Err(_) => return Err(format!("the disk that holds {path} does not answer")),
    };
    let bytes = percent(stat.blocks(), stat.blocks_free(), stat.blocks_available());
    let inodes = percent(stat.files(), stat.files_free(), stat.files_free());
    let bytes = bytes.ok_or_else(|| format!("{path} is on no file system with a size"))?;
    Ok(Used { bytes, inodes })
}

/// Of all, free, and available to programs: the kernel keeps some for root.
fn percent(all: u64, free: u64, available: u64) -> Option<f64> {
    let used = all.saturating_sub(free) as f64;
    let percent = used / (used + available as f64) * 100.0;
    (all > 0 && percent.is_finite()).then_some(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_counted_as_df_does() {
        let table =
            [(100, 60, 40, Some(50.0)), (100, 5, 0, Some(100.0)), (0, 0, 0, None), (10, 10, 10, Some(0.0))];
        for (all, free, available, want) in table {
            assert_eq!(percent(all, free, available), want);
        }
    }

    #[tokio::test]
    async fn this_machine_is_looked_at() {
        let used = used("/").await.unwrap();
        assert!((0.0..=100.0).contains(&used.bytes), "{used:?}");
        assert!(super::used("/no/such/place").await.unwrap_err().contains("/no/such/place"));
    }
}
