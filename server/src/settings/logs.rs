//! Settings of logs: format and level.

use tracing::Level;

use super::SettingsError;
use super::reader::{Described, Reader};

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people; a request's line ends in `responseTime <ms>`.
    Text,
}

/// Settings of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// The format.
    pub format: LogFormat,
    /// The least severe level that is logged.
    pub level: Level,
}

impl LogSettings {
    /// The defaults of programs that serve: JSON from level info on.
    pub const SERVING: Self = Self { format: LogFormat::Json, level: Level::INFO };

    pub(super) const DESCRIBED: &'static [Described] = &[
        Described { name: "LOG_FORMAT", about: "json or text (json)" },
        Described { name: "LOG_LEVEL", about: "error, warn, info, debug or trace (info)" },
    ];

    pub(super) fn read(reader: &mut Reader<'_>, default: Self) -> Option<Self> {
        let format =
            reader.parsed("LOG_FORMAT", default.format, "json or text", |text| match text {
                "json" => Some(LogFormat::Json),
                "text" => Some(LogFormat::Text),
                _ => None,
            });
        let must = "error, warn, info, debug or trace";
        let level = reader.parsed("LOG_LEVEL", default.level, must, |text| text.parse().ok());
        Some(Self { format: format?, level: level? })
    }

    /// Reads the settings of logs alone, for programs that need no others; `default` holds without LOG_FORMAT
    /// and LOG_LEVEL.
    pub fn from_env(default: Self) -> Result<Self, SettingsError> {
        Reader::read_env(|reader| Self::read(reader, default))
    }
}
