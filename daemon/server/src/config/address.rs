//! Host and port, as people write them.

use std::fmt;
use std::str::FromStr;

use super::DEFAULT_PORT;

/// What an agent is told to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The TCP port; where the server listens if none was said.
    pub port: Option<u16>,
}

impl Address {
    /// From its parts.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Address {
            host: host.into(),
            port: Some(port),
        }
    }

    /// As an agent is told it: `ssh://HOST`, with the port if it is not yore's.
    pub fn url(&self) -> String {
        format!("ssh://{self}")
    }
}

/// Reads `HOST`, `HOST:PORT`, `[V6]:PORT` or a bare IPv6 address.
///
/// # Errors
/// A text for the administrator.
impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a host or a host and a port, such as backup.example.org:2222");
        let (host, port) = match text.rsplit_once(':') {
            // More than one colon and no brackets: an IPv6 address alone.
            Some((host, _)) if host.contains(':') && !host.starts_with('[') => (text, None),
            Some(_) if text.ends_with(']') => (text, None),
            Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port > 0).ok_or_else(bad)?)),
            None => (text, None),
        };
        let host = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'));
        let host = host.filter(|host| is_host(host)).ok_or_else(bad)?;
        let host = host.to_owned();
        Ok(Address { host, port })
    }
}

/// Whether it can stand in a command that a person pastes into a shell.
fn is_host(host: &str) -> bool {
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%');
    !host.is_empty() && !host.starts_with('-') && host.bytes().all(of_a_name)
}

/// `HOST`, or `HOST:PORT` if the port is not yore's.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        match self.port {
            None | Some(DEFAULT_PORT) => Ok(()),
            Some(port) => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_ports() {
        for (text, host, port, shown) in [
            ("backup", "backup", None, "backup"),
            ("backup:2222", "backup", Some(2222), "backup"),
            ("10.0.0.1:22", "10.0.0.1", Some(22), "10.0.0.1:22"),
            ("[::1]:7", "::1", Some(7), "[::1]:7"),
            ("[::1]", "::1", None, "[::1]"),
            ("fe80::1", "fe80::1", None, "[fe80::1]"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(
                (&*address.host, address.port, &*address.to_string()),
                (host, port, shown)
            );
        }
        for bad in [
            "",
            ":2222",
            "host:",
            "host:99999",
            "host:0",
            "a b",
            "[::1",
            "-oProxyCommand=x",
            "a;b",
            "a/b",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
