//! Letters as files in a folder, for trials without a mail server.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::deliver::reason::Secretive;
use crate::route::{Attempt, DeliveryId};

/// Where letters are put: one file each, called by its delivery, so that a repeat takes the place of
/// the first.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// Writes the letter. Under its name it is whole or not there.
    pub async fn put(&self, id: DeliveryId, letter: Vec<u8>) -> Attempt {
        let folder = self.0.clone();
        let written = tokio::task::spawn_blocking(move || write(&folder, id, &letter)).await;
        let fault = match written {
            Ok(Ok(())) => return Attempt::Delivered,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let fault = format!("cannot write a letter into {}: {fault}", self.0.display());
        Attempt::TryAgain { wait: None, everyone: true, reason: Secretive::default().reason(&fault) }
    }
}

fn write(folder: &Path, id: DeliveryId, letter: &[u8]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let part = folder.join(format!(".{id}.part"));
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    // Alerts hold personal data.
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let mut file = options.open(&part)?;
    file.write_all(letter)?;
    file.sync_all()?;
    std::fs::rename(&part, folder.join(format!("{id}.eml")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_letter_is_one_file_however_often_it_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let mail = Folder(folder.path().join("mail"));
        for _ in 0..2 {
            assert_eq!(
                mail.put(DeliveryId([7; 16]), b"Subject: x\r\n\r\n".to_vec()).await,
                Attempt::Delivered
            );
        }
        let names: Vec<_> =
            std::fs::read_dir(&mail.0).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(names, [format!("{}.eml", DeliveryId([7; 16])).as_str()]);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_tried_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let attempt = Folder(file.path().to_owned()).put(DeliveryId([7; 16]), Vec::new()).await;
        assert!(matches!(attempt, Attempt::TryAgain { wait: None, everyone: true, .. }), "{attempt:?}");
    }
}
