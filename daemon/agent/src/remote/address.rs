//! `ssh://[USER@]HOST[:PORT][/REPOSITORY]`: where a server's repository is.

use std::fmt;
use std::str::FromStr;

/// The port that a server listens on if nothing else is said.
pub const PORT: u16 = 2222;

/// A repository on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The account; none: that of the link, or the name of the user who runs this.
    pub user: Option<String>,
    /// Host name or address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The repository's name; none in the address of a server.
    pub repository: Option<String>,
}

impl Address {
    /// Whether a text is meant as one.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("ssh://")
    }

    /// HOST, or HOST:PORT where the port is not the usual one.
    pub fn host_and_port(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match self.port {
            PORT => host,
            port => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.iter().map(|user| format!("{user}@")).collect::<String>();
        write!(f, "ssh://{user}{}", self.host_and_port())?;
        self.repository.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |what: &str| format!("{text}: {what}; write ssh://[USER@]HOST[:PORT]/REPOSITORY");
        let rest = text
            .strip_prefix("ssh://")
            .ok_or_else(|| bad("does not begin with ssh://"))?;
        let credentials = rest.split_once('@').map_or("", |(before, _)| before);
        if credentials.contains(':') && !credentials.contains('/') {
            return Err("a password does not belong in an address; write ssh://[USER@]HOST[:PORT]/REPOSITORY".into());
        }
        let (server, repository) = match rest.split_once('/') {
            Some((server, name)) => (server, Some(name.trim_end_matches('/')).filter(|name| !name.is_empty())),
            None => (rest, None),
        };
        if repository.is_some_and(|name| name.contains('/')) {
            return Err(bad("a repository's name has no slash"));
        }
        let (user, place) = match server.rsplit_once('@') {
            Some(("", _)) => return Err(bad("the user is empty")),
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, server),
        };
        let (host, port) = split_port(place).ok_or_else(|| bad("an IPv6 address stands in brackets"))?;
        if host.is_empty() || host.starts_with('-') || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(bad("no host"));
        }
        let port = match port {
            None => PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| bad("a port is a number from 1 to 65535"))?,
        };
        Ok(Address {
            user,
            host: host.to_owned(),
            port,
            repository: repository.map(str::to_owned),
        })
    }
}

fn split_port(place: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    match place.split_once(':') {
        Some((_, port)) if port.contains(':') => None,
        Some((host, port)) => Some((host, Some(port))),
        None => Some((place, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown) in [
            ("ssh://nas/laptop", "ssh://nas/laptop"),
            ("ssh://ann@nas:2222/laptop/", "ssh://ann@nas/laptop"),
            ("ssh://ann@[::1]:22/x", "ssh://ann@[::1]:22/x"),
            ("ssh://nas:99", "ssh://nas:99"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "nas/laptop",
            "ssh://",
            "ssh:///x",
            "ssh://@nas/x",
            "ssh://nas:0/x",
            "ssh://nas:port/x",
            "ssh://::1/x",
            "ssh://nas/a/b",
            "ssh://-oProxyCommand=x/y",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        let error = "ssh://ann:hunter2@nas/x".parse::<Address>().unwrap_err();
        assert!(error.contains("a password") && !error.contains("hunter2"), "{error}");
    }
}
