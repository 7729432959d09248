//! An authority for tests, and the certificates that it signs.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use offswitch::clock::utc;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

/// An authority whose files are in a folder.
pub(crate) struct Authority<'a> {
    folder: &'a Path,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The files of a certificate and its key, as `redis-server` and the store read them.
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl<'a> Authority<'a> {
    /// An authority of this name with a new key.
    pub(crate) fn new(folder: &'a Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { folder, issuer: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    /// The file with the authority itself.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, self.issuer.pem()).unwrap();
        path
    }

    /// A certificate for a DNS name or an address.
    pub(crate) fn certificate(&self, name: &str) -> Files {
        self.sign(name, |_| {})
    }

    /// One that was valid until the year 2020.
    pub(crate) fn expired_certificate(&self, name: &str) -> Files {
        self.sign(name, |params| {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        })
    }

    /// One that has been valid since the year 2019, until the day of `end` (unix seconds) begins.
    pub(crate) fn certificate_until(&self, name: &str, end: u64) -> Files {
        let end = utc(end);
        let part = |range: Range<usize>| end[range].parse::<u8>().unwrap();
        let (year, month, day) = (end[..4].parse().unwrap(), part(5..7), part(8..10));
        self.sign(name, |params| {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(year, month, day);
        })
    }

    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Files {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let number = fs::read_dir(self.folder).unwrap().count();
        let write = |kind: &str, text: &str| {
            let path = self.folder.join(format!("{name}-{number}.{kind}.pem"));
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        Files { certificate: write("cert", &signed.pem()), key: write("key", &key.serialize_pem()) }
    }
}

impl Files {
    /// The arguments with which a server shows this certificate on `port`, and demands one signed
    /// by an authority in `clients`, if that is given.
    pub(crate) fn server(&self, port: u16, authority: &Path, demands: bool) -> Vec<String> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let pairs = [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", text(&self.certificate)),
            ("--tls-key-file", text(&self.key)),
            ("--tls-ca-cert-file", text(authority)),
            ("--tls-auth-clients", if demands { "yes" } else { "no" }.to_owned()),
        ];
        pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}
