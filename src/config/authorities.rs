//! Certificates of authorities, in a file and in directories, as other programs read them.

use std::fs::{self, DirEntry};
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::Settings;

/// Certificates of authorities.
pub(super) type Certificates = Vec<CertificateDer<'static>>;

impl Settings<'_> {
    pub(super) fn authorities(&mut self, file_name: &str, directory_name: &str) -> Certificates {
        let file = self.path(file_name, "a file with certificates in PEM");
        let file = file.map(|file| (file_name, certificates(&file), file));
        let directories = self.directories(directory_name).into_iter();
        let directories = directories.map(|path| (directory_name, all_certificates(&path), path));
        let mut authorities = Vec::new();
        for (name, found, path) in file.into_iter().chain(directories) {
            let shown = path.display();
            match found {
                Ok(found) => authorities.extend(found),
                Err(why) => self.problems.push(format!(
                    "{name}: failed to read certificates from {shown}: {why}; set it to where some are, in PEM, \
                     or remove it"
                )),
            }
        }
        authorities
    }
}

/// The certificates in the files of a directory. Not everything there is a certificate.
fn all_certificates(directory: &Path) -> Result<Certificates, String> {
    let entries = fs::read_dir(directory).map_err(|error| error.to_string())?;
    let found = |entry: DirEntry| certificates(&entry.path());
    Ok(entries.flatten().flat_map(found).flatten().collect())
}

/// The certificates in a file, one at least.
fn certificates(file: &Path) -> Result<Certificates, String> {
    let found = CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    let found: Vec<_> = found.flatten().collect();
    match found.is_empty() {
        true => Err("there is none in it".to_string()),
        false => Ok(found),
    }
}
