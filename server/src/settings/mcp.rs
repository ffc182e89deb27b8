//! Settings of MCP, the Model Context Protocol.

use url::{Origin, Url};

use super::reader::{Described, Reader};

/// Settings of MCP: who may call it, as far as the head of a request tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpSettings {
    /// Whether it is served.
    pub enabled: bool,
    /// Hosts that clients may have called it by, with a port where only that one counts; none allows all.
    pub hosts: Vec<String>,
    /// Origins that pages and programs which send one may have, each with its port.
    pub origins: Vec<String>,
}

const ENABLE: &str = "ENABLE_MCP";
const HOSTS: &str = "MCP_ALLOWED_HOSTS";
const ORIGINS: &str = "MCP_ALLOWED_ORIGINS";

impl McpSettings {
    pub(super) const DESCRIBED: &'static [Described] = &[
        Described { name: ENABLE, about: "true or false: whether to serve MCP at /mcp (true)" },
        Described {
            name: HOSTS,
            about: "hosts that MCP may be called by, separated by commas, such as agentfs.example.com,localhost:8787 (all)",
        },
        Described {
            name: ORIGINS,
            about: "origins of web pages that may call MCP, separated by commas, such as https://agents.example.com (none)",
        },
    ];

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let enabled = reader.parsed(ENABLE, true, "true or false", |text| text.parse().ok());
        let must = "host names or IP addresses with commas between them, such as agentfs.example.com,[::1]:8787";
        let hosts = reader.parsed(HOSTS, Vec::new(), must, |text| each(text, host));
        let must = "origins with commas between them, such as https://agents.example.com,http://localhost:3000";
        let origins = reader.parsed(ORIGINS, Vec::new(), must, |text| each(text, origin));
        Some(Self { enabled: enabled?, hosts: hosts?, origins: origins? })
    }
}

fn each(text: &str, parse: impl Fn(&str) -> Option<String>) -> Option<Vec<String>> {
    text.split(',').map(|item| parse(item.trim())).collect()
}

/// A host as it stands in a URL, perhaps with a port.
fn host(text: &str) -> Option<String> {
    let url = Url::parse(&format!("http://{text}/")).ok()?;
    let rest = [url.username(), url.path(), url.query().unwrap_or_default()];
    let is_host = rest == ["", "/", ""] && !text.contains(['/', '?', '#', '@', '*']);
    is_host.then(|| text.to_ascii_lowercase())
}

/// An origin with its port, also where that is the scheme's own.
fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()))?;
    let Origin::Tuple(scheme, host, port) = url.origin() else { return None };
    let whole = format!("{scheme}://{host}:{port}");
    let short = url.origin().ascii_serialization();
    let is_origin = [&whole, &short].iter().any(|origin| origin.eq_ignore_ascii_case(text));
    is_origin.then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<McpSettings, String> {
        let find = |name: &str| {
            pairs.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned())
        };
        let mut reader = Reader::new(&find);
        let settings = McpSettings::read(&mut reader);
        reader.finish().map_err(|error| error.to_string())?;
        Ok(settings.unwrap())
    }

    #[test]
    fn it_is_on_for_all_hosts_and_no_origin_unless_said() {
        let settings = McpSettings { enabled: true, hosts: Vec::new(), origins: Vec::new() };
        assert_eq!(read(&[]), Ok(settings));
        assert!(!read(&[(ENABLE, "false")]).unwrap().enabled);
        let set = [
            (HOSTS, "AgentFS.example.com, [::1]:8787,10.0.0.1"),
            (ORIGINS, "https://a.example.com, http://localhost:3000,https://b.example.com:443"),
        ];
        let settings = read(&set).unwrap();
        assert_eq!(settings.hosts, ["agentfs.example.com", "[::1]:8787", "10.0.0.1"]);
        assert_eq!(
            settings.origins,
            ["https://a.example.com:443", "http://localhost:3000", "https://b.example.com:443"]
        );
    }

    #[test]
    fn what_is_no_host_or_origin_is_refused() {
        for wrong in ["http://a", "a/b", "a b", "a,,b", "u@a", "*"] {
            let error = read(&[(HOSTS, wrong)]);
            let said = error.as_ref().is_err_and(|error| error.starts_with(HOSTS));
            assert!(said, "{wrong}: {error:?}");
        }
        for wrong in ["a.example.com", "null", "*", "https://a/b", "ftp://a", "https://a,"] {
            let error = read(&[(ORIGINS, wrong)]);
            let said = error.as_ref().is_err_and(|error| error.starts_with(ORIGINS));
            assert!(said, "{wrong}: {error:?}");
        }
    }
}
