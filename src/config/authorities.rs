//! Certificates of authorities, in a file and in directories, as other programs read them.

use std::env;
use std::fs;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::Settings;

impl Settings<'_> {
    pub(super) fn authorities(
        &mut self,
        file_name: &str,
        directory_name: &str,
    ) -> Vec<CertificateDer<'static>> {
        let mut authorities = Vec::new();
        if let Some(file) = self.path(file_name, "a file with certificates in PEM") {
            match certificates(&file) {
                Ok(found) => authorities.extend(found),
                Err(why) => self.problems.push(format!(
                    "{file_name}: failed to read certificates from {}: {why}; set it to a file with \
                     certificates in PEM, or remove it",
                    file.display()
                )),
            }
        }
        // Several are separated with colons. Not everything in one is a certificate.
        let directories = (self.lookup)(directory_name).unwrap_or_default();
        for directory in env::split_paths(&directories).filter(|path| !path.as_os_str().is_empty())
        {
            match fs::read_dir(&directory) {
                Ok(entries) => {
                    let files = entries.flatten().map(|entry| entry.path());
                    authorities.extend(files.filter_map(|file| certificates(&file).ok()).flatten());
                }
                Err(error) => self.problems.push(format!(
                    "{directory_name}: failed to read {}: {error}; set it to a directory with certificates, \
                     or remove it",
                    directory.display()
                )),
            }
        }
        authorities
    }
}

/// The certificates in a file, one at least.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    let found: Vec<_> = found.flatten().collect();
    match found.is_empty() {
        true => Err("there is none in it".to_string()),
        false => Ok(found),
    }
}
